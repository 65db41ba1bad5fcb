//! Carries messages between the shards of a process in bounded mailboxes, without shared mutable memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use datagrams::Wake;

use crate::shard::{Message, Shard};

/// Maximum number of messages in a shard's mailbox. Further messages are dropped, as by a full socket, or kept in the
/// sender's backlog if they must be delivered.
const MAILBOX: usize = 1_024;
/// Maximum number of messages in a backlog. A shard with this many unread messages has died.
const MAX_BACKLOG: usize = 65_536;

/// The mailbox of one shard, and the senders into those of all shards.
pub(super) struct Neighbours {
    own: u16,
    inbox: Receiver<(u16, Message)>,
    by_shard: Vec<Neighbour>,
}

struct Neighbour {
    sender: SyncSender<(u16, Message)>,
    wake: Arc<Wake>,
    /// Messages that must be delivered but did not fit into the mailbox.
    backlog: VecDeque<Message>,
}

impl Neighbours {
    /// Connects one shard for each of these wake-up handles.
    pub(super) fn between(wakes: &[Arc<Wake>]) -> Vec<Self> {
        let (senders, inboxes): (Vec<_>, Vec<_>) = wakes.iter().map(|_| sync_channel(MAILBOX)).unzip();
        let neighbours = || {
            let ends = senders.iter().cloned().zip(wakes.iter().map(Arc::clone));
            ends.map(|(sender, wake)| Neighbour { sender, wake, backlog: VecDeque::new() }).collect()
        };
        (0..).zip(inboxes).map(|(own, inbox)| Self { own, inbox, by_shard: neighbours() }).collect()
    }

    /// Passes the received messages to the shard; returns whether there were any.
    pub(super) fn receive(&mut self, shard: &mut Shard, now: Instant) -> bool {
        let mut has_received = false;
        while let Ok((from, message)) = self.inbox.try_recv() {
            has_received = true;
            shard.handle_message(now, from, message);
        }
        has_received
    }

    /// Sends the shard's messages to the other shards.
    pub(super) fn send(&mut self, shard: &mut Shard, now: Instant) {
        for neighbour in &mut self.by_shard {
            neighbour.send_backlog(self.own);
        }
        while let Some((to, message)) = shard.poll_message(now) {
            if let Some(neighbour) = self.by_shard.get_mut(usize::from(to)) {
                neighbour.send(self.own, message);
            }
        }
    }
}

impl Neighbour {
    fn send(&mut self, own: u16, message: Message) {
        // Messages behind a message in the backlog must not overtake it, since they may depend on it.
        if self.backlog.is_empty() {
            if let Err(message) = self.try_send(own, message) {
                self.keep(message);
            }
        } else {
            self.keep(message);
        }
    }

    fn keep(&mut self, message: Message) {
        if !message.must_arrive() {
            return;
        }
        if self.backlog.len() < MAX_BACKLOG {
            self.backlog.push_back(message);
        } else {
            tracing::error!("a media shard takes no more messages");
        }
    }

    fn send_backlog(&mut self, own: u16) {
        while let Some(message) = self.backlog.pop_front() {
            if let Err(message) = self.try_send(own, message) {
                self.backlog.push_front(message);
                return;
            }
        }
    }

    /// Returns the message if the mailbox is full.
    fn try_send(&self, own: u16, message: Message) -> Result<(), Message> {
        let is_urgent = message.is_urgent();
        match self.sender.try_send((own, message)) {
            Ok(()) => {
                if is_urgent {
                    self.wake.signal();
                }
                Ok(())
            }
            Err(TrySendError::Full((_, message))) => Err(message),
            // The neighbour has ended, so the process is shutting down.
            Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}
