//! Divides the bitrate of a subscriber's path among its video tracks.
//!
//! A track is sent in one of its layers, or not at all. The least layer of every track comes first, in the order of
//! priority; what is left is spent where it gains the most pixels for a bit. Raising a layer needs some spare bitrate, so
//! that the choice does not change back and forth.

/// The bitrate that is required for more than what is sent now, as a percentage of what that would need.
const RAISE_PERCENT: u64 = 115;

/// A layer that can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The bitrate in bits per second.
    pub(crate) bitrate: u64,
    /// The number of pixels; 0 if unknown.
    pub(crate) pixels: u64,
}

/// A video track that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish<'a> {
    /// Tracks of higher priority are served first.
    pub(crate) priority: i32,
    /// The layers that may be sent, from the least to the best.
    pub(crate) choices: &'a [Choice],
    /// Which of them is sent now.
    pub(crate) current: Option<usize>,
}

/// Chooses a layer for each wish, by its index in `choices`; `None` pauses the track. The sum stays within `budget`,
/// which is unlimited if `None`.
pub(crate) fn allocate(budget: Option<u64>, wishes: &[Wish<'_>]) -> Vec<Option<usize>> {
    let Some(budget) = budget else {
        return wishes.iter().map(|wish| wish.choices.len().checked_sub(1)).collect();
    };
    let mut chosen = vec![None; wishes.len()];
    let mut spent = 0;
    let mut order: Vec<_> = (0..wishes.len()).zip(wishes).collect();
    order.sort_by_key(|(_, wish)| {
        (std::cmp::Reverse(wish.priority), wish.choices.first().map_or(0, |least| least.bitrate))
    });
    for (at, wish) in &order {
        if let Some(least) = wish.choices.first()
            && fits(budget, spent + least.bitrate, wish.current.is_some())
            && let Some(place) = chosen.get_mut(*at)
        {
            spent += least.bitrate;
            *place = Some(0);
        }
    }
    // Of the highest priority first, the step that gains most.
    while let Some((at, step)) = best_step(budget, spent, wishes, &chosen) {
        spent += step.cost;
        if let Some(place) = chosen.get_mut(at) {
            *place = Some(step.to);
        }
    }
    chosen
}

/// A change to a better layer.
#[derive(Clone, Copy)]
struct Step {
    to: usize,
    cost: u64,
    priority: i32,
    /// Pixels gained per megabit.
    gain: u64,
}

fn best_step(
    budget: u64,
    spent: u64,
    wishes: &[Wish<'_>],
    chosen: &[Option<usize>],
) -> Option<(usize, Step)> {
    let steps = wishes.iter().zip(chosen).enumerate().filter_map(|(at, (wish, chosen))| {
        let from = (*chosen)?;
        let to = from + 1;
        let (here, there) = (wish.choices.get(from)?, wish.choices.get(to)?);
        let cost = there.bitrate.saturating_sub(here.bitrate);
        let keeps = wish.current.is_some_and(|current| current >= to);
        fits(budget, spent + cost, keeps).then_some(())?;
        let pixels = there.pixels.saturating_sub(here.pixels).max(1);
        let gain = pixels.saturating_mul(1_000_000) / cost.max(1);
        Some((at, Step { to, cost, priority: wish.priority, gain }))
    });
    steps.max_by_key(|(at, step)| (step.priority, step.gain, std::cmp::Reverse(*at)))
}

fn fits(budget: u64, sum: u64, keeps: bool) -> bool {
    if keeps { sum <= budget } else { sum.saturating_mul(RAISE_PERCENT) <= budget.saturating_mul(100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA: [Choice; 3] = [
        Choice { bitrate: 150_000, pixels: 320 * 180 },
        Choice { bitrate: 500_000, pixels: 640 * 360 },
        Choice { bitrate: 1_700_000, pixels: 1_280 * 720 },
    ];

    fn wish(current: Option<usize>) -> Wish<'static> {
        Wish { priority: 0, choices: &CAMERA, current }
    }

    #[test]
    fn everybody_has_the_least_before_anybody_has_more() {
        let wishes = [wish(None), wish(None), wish(None)];
        assert_eq!(allocate(None, &wishes), [Some(2); 3]);
        assert_eq!(allocate(Some(520_000), &wishes), [Some(0); 3]);
        assert_eq!(allocate(Some(400_000), &wishes), [Some(0), Some(0), None]);
        assert_eq!(allocate(Some(1_000_000), &wishes), [Some(1), Some(0), Some(0)]);
        assert_eq!(allocate(Some(1_800_000), &wishes), [Some(1); 3]);
        assert_eq!(allocate(Some(0), &wishes), [None; 3]);
    }

    #[test]
    fn the_sum_stays_within_the_budget() {
        let wishes = [wish(Some(2)), wish(None), wish(Some(1)), Wish { priority: 3, ..wish(None) }];
        for budget in (0..8_000_000).step_by(10_000) {
            let chosen = allocate(Some(budget), &wishes);
            let sum: u64 = chosen.iter().flatten().map(|at| CAMERA[*at].bitrate).sum();
            assert!(sum <= budget, "{chosen:?}");
        }
        assert_eq!(allocate(Some(8_000_000), &wishes), [Some(2); 4]);
    }

    #[test]
    fn priority_comes_first() {
        let wishes = [wish(None), Wish { priority: 1, ..wish(None) }];
        assert_eq!(allocate(Some(200_000), &wishes), [None, Some(0)]);
        assert_eq!(allocate(Some(2_200_000), &wishes), [Some(0), Some(2)]);
    }

    #[test]
    fn what_is_sent_is_kept_without_spare_bitrate_and_more_needs_some() {
        assert_eq!(allocate(Some(500_000), &[wish(Some(1))]), [Some(1)]);
        assert_eq!(allocate(Some(570_000), &[wish(Some(0))]), [Some(0)]);
        assert_eq!(allocate(Some(575_000), &[wish(Some(0))]), [Some(1)]);
        assert_eq!(allocate(Some(160_000), &[wish(None)]), [None]);
        assert_eq!(allocate(Some(160_000), &[wish(Some(2))]), [Some(0)]);
    }

    #[test]
    fn nothing_to_send_is_nothing_chosen() {
        let nothing = Wish { priority: 0, choices: &[], current: Some(0) };
        assert_eq!(allocate(None, std::slice::from_ref(&nothing)), [None]);
        assert_eq!(allocate(Some(9), &[nothing]), [None]);
    }
}
