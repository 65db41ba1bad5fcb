//! Whatever people do, a room's timers advance: everything due is done, or due later.
//!
//! A failure names its seed. `VISAVIS_SEED=n cargo test -p signaling-core --test timers` runs that seed alone, and
//! `VISAVIS_SEQUENCES=n` runs that many.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]
#![allow(clippy::needless_pass_by_value, reason = "short steps, with `json!` in place")]

mod stage;

use std::time::Duration;

use serde_json::{Value, json};
use signaling_core::Entropy;
use signaling_core::testing::SeededEntropy;
use stage::Stage;

const PEOPLE: [&str; 5] = ["ada", "bob", "cem", "dan", "eve"];

struct Dice(SeededEntropy);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// A message of a peer in the room, valid or not.
fn message(dice: &mut Dice, plain: bool, other: String) -> Value {
    match dice.below(if plain { 6 } else { 10 }) {
        0..3 => json!({"type": "leave"}),
        3 => json!({"type": "topology", "epoch": 1 + dice.below(6), "ready": true}),
        4 => json!({"type": "call", "action": "ring", "to": other}),
        5 => json!({"type": "chat", "text": "hello"}),
        6 => json!({"type": "topology", "epoch": 1 + dice.below(4), "topology": "sfu"}),
        7 => json!({"type": "host", "action": dice.of(&["admit", "kick", "promote"]), "peer": other}),
        8 => json!({"type": "host", "action": "set-lobby", "value": dice.below(2) == 0}),
        _ => {
            json!({"type": "host", "action": dice.of(&["start-recording", "stop-recording", "lock", "unlock"])})
        }
    }
}

fn run(seed: u64) {
    let (mut stage, mut dice) = (Stage::new(), Dice(SeededEntropy::new(seed)));
    // In half of the rooms no host uses its powers, which would settle the topology for good.
    let plain = dice.below(2) == 0;
    let topology = dice.of(&["auto", "auto", "sfu", "mesh"]);
    let mut entered: Vec<&str> = Vec::new();
    for _ in 0..60 {
        let who = dice.of(&PEOPLE);
        if !entered.contains(&who) {
            // Keeps the room from being crowded all the time.
            if entered.len() > 1 && dice.below(4) > 0 {
                continue;
            }
            let role =
                if plain || dice.below(10) > 0 { "participant" } else { dice.of(&["viewer", "broadcaster"]) };
            if stage.join(who, json!({"role": role, "topology": topology}))["type"] == "welcome" {
                entered.push(PEOPLE.into_iter().find(|name| *name == who).unwrap());
            }
            continue;
        }
        match dice.below(10) {
            0 => stage.lose(who),
            1 => drop(stage.resume(who)),
            2..5 => stage.pass(Duration::from_millis(dice.below(12_000))),
            5 => stage.pass(Duration::from_secs(dice.below(120))),
            _ => {
                let other = stage.peer(entered[usize::try_from(dice.below(entered.len() as u64)).unwrap()]);
                let message = message(&mut dice, plain, other);
                let leaves = message["type"] == "leave";
                stage.say(who, message);
                if leaves {
                    entered.retain(|name| *name != who);
                }
            }
        }
    }
    // `Shard::handle_timeout` asserts it in each step.
    stage.pass(Duration::from_secs(1_200));
}

#[test]
fn timers_move_on_whatever_people_do() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("VISAVIS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("VISAVIS_SEQUENCES").unwrap_or(300),
    };
    for seed in seeds {
        assert!(std::panic::catch_unwind(|| run(seed)).is_ok(), "seed {seed}");
    }
}
