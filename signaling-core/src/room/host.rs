//! Actions of hosts.

use serde_json::Value;

use super::{Change, Effect, Fact, Member, Power, Room, Settings, Standing};
use crate::message::{Host, HostAction, LeaveReason, Role};
use crate::{Code, Digest, EndReason, PeerId, Refusal};

impl Room {
    pub(super) fn decide_host(&self, by: PeerId, host: &Host) -> Result<Vec<Effect>, Refusal> {
        let power = self.member(by).map_or(Power::None, |member| member.power);
        if power == Power::None {
            return Err(Refusal::new(Code::Forbidden, "only a host may do that"));
        }
        self.decide_power(Some(by), power, host)
    }

    /// Uses a power of hosts. `by`: the host in the room, or nobody there.
    pub(super) fn decide_power(
        &self,
        by: Option<PeerId>,
        power: Power,
        host: &Host,
    ) -> Result<Vec<Effect>, Refusal> {
        let target = || self.host_target(host.peer.as_deref());
        let settings = |settings: Settings| {
            // Unchanged settings need no entry.
            if settings == self.state.settings { vec![] } else { vec![Fact::SettingsChanged(settings)] }
        };
        let facts = match host.action {
            HostAction::Admit => vec![Fact::Admitted { peer: waiting(target()?)?.id }],
            HostAction::Deny => {
                let peer = waiting(target()?)?.id;
                vec![Fact::Denied { peer }, Fact::Left { peer, reason: LeaveReason::Kicked }]
            }
            HostAction::Kick => {
                let member = target()?;
                if Some(member.id) == by {
                    return Err(Refusal::new(Code::InvalidState, "to go yourself, leave"));
                }
                let (session, client) = (member.session, member.client);
                let tokens = barred_tokens(member, host.value.as_ref())?;
                let mut facts = vec![Fact::Barred { session, client, tokens }];
                facts.extend(self.left(member.id, LeaveReason::Kicked));
                facts
            }
            HostAction::Mute => {
                let member = joined(target()?)?;
                let peer = member.id;
                let change = Change { microphone: Some(false), ..Change::default() };
                // A media-only peer cannot report its microphone, so the room does.
                let shown = member.media_only.then(|| Fact::Updated { peer, change: Box::new(change) });
                [Some(Fact::Muted { peer, by: by.unwrap_or(peer) }), shown].into_iter().flatten().collect()
            }
            HostAction::Lock => settings(Settings { locked: true, ..self.state.settings.clone() }),
            HostAction::Unlock => settings(Settings { locked: false, ..self.state.settings.clone() }),
            HostAction::SetPassword => {
                let password = self.password_digest(host.value.as_ref())?;
                settings(Settings { password, ..self.state.settings.clone() })
            }
            HostAction::SetLobby => {
                let lobby = host.value.as_ref().and_then(Value::as_bool);
                let lobby = lobby.ok_or_else(|| Refusal::bad_request("`value` is true or false"))?;
                let mut facts = settings(Settings { lobby, ..self.state.settings.clone() });
                if !lobby {
                    // Without a lobby, waiting peers have nothing to wait for.
                    let waiting = self.state.members.values().filter(|member| !member.is_joined());
                    facts.extend(waiting.map(|member| Fact::Admitted { peer: member.id }));
                }
                facts
            }
            HostAction::Promote => promotion(present(joined(target()?)?)?, host.value.as_ref(), power)?,
            HostAction::StartRecording | HostAction::StopRecording => {
                return self.decide_recording(host.action == HostAction::StartRecording);
            }
            HostAction::End => vec![Fact::Ended { reason: EndReason::HostEnded }],
        };
        Ok(facts.into_iter().map(Effect::Fact).collect())
    }

    fn host_target(&self, peer: Option<&str>) -> Result<&Member, Refusal> {
        let peer = peer.ok_or_else(|| Refusal::bad_request("`peer` says whom"))?;
        let id: Option<PeerId> = peer.parse().ok();
        id.and_then(|id| self.member(id)).ok_or_else(super::nobody)
    }

    fn password_digest(&self, value: Option<&Value>) -> Result<Option<Digest>, Refusal> {
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(password)) if password.is_empty() => Ok(None),
            Some(Value::String(password)) if password.len() <= 256 => {
                Ok(Some(self.digest_password(password)))
            }
            Some(_) => {
                Err(Refusal::bad_request("a password is a string of at most 256 bytes, or null for none"))
            }
        }
    }
}

fn waiting(member: &Member) -> Result<&Member, Refusal> {
    match member.standing {
        Standing::Waiting => Ok(member),
        Standing::Joined => Err(Refusal::new(Code::InvalidState, "that peer is in the room already")),
    }
}

fn joined(member: &Member) -> Result<&Member, Refusal> {
    match member.standing {
        Standing::Joined => Ok(member),
        Standing::Waiting => Err(Refusal::new(Code::InvalidState, "that peer is still in the lobby")),
    }
}

fn present(member: &Member) -> Result<&Member, Refusal> {
    if member.media_only {
        return Err(Refusal::new(
            Code::InvalidState,
            "that peer is a WHIP or WHEP session, and nobody to promote",
        ));
    }
    Ok(member)
}

/// The digests that bar the join token of a removed peer. A token that does not identify its holder may be shared by
/// many, and is barred only on request.
fn barred_tokens(member: &Member, value: Option<&Value>) -> Result<Vec<Digest>, Refusal> {
    let all = match value {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) if text == "token" => true,
        Some(_) => {
            return Err(Refusal::bad_request("`value` is `token`, to bar a token that others share too"));
        }
    };
    let Some(token) = member.token else { return Ok(Vec::new()) };
    Ok(if all { token.all().collect() } else { token.of_holder().collect() })
}

/// Makes a viewer a participant and any other peer a host with the promoter's `power`, unless `value` names a role or
/// `host`.
fn promotion(member: &Member, value: Option<&Value>, power: Power) -> Result<Vec<Fact>, Refusal> {
    let peer = member.id;
    let role =
        |role| Fact::Updated { peer, change: Box::new(Change { role: Some(role), ..Change::default() }) };
    // An acting host must not downgrade an appointed one.
    let granted = || match member.power {
        Power::Appointed => Fact::HostGranted { peer, power: Power::Appointed },
        _ => Fact::HostGranted { peer, power },
    };
    match value {
        None | Some(Value::Null) if member.role == Role::Viewer => Ok(vec![role(Role::Participant)]),
        None | Some(Value::Null) => Ok(vec![granted()]),
        Some(Value::String(text)) => match text.as_str() {
            "host" => Ok(vec![granted()]),
            "participant" => Ok(vec![role(Role::Participant)]),
            "broadcaster" => Ok(vec![role(Role::Broadcaster)]),
            // A viewer cannot be host.
            "viewer" if member.is_host() => Ok(vec![Fact::HostWithdrawn { peer }, role(Role::Viewer)]),
            "viewer" => Ok(vec![role(Role::Viewer)]),
            _ => Err(Refusal::bad_request("`value` is a role, or `host`")),
        },
        Some(_) => Err(Refusal::bad_request("`value` is a role, or `host`")),
    }
}
