//! The answer to an offer, in real time.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use sfu::{Handle, NegotiationError};
use signaling_core::{HttpAnswer, HttpOffer};

/// The answer to an offer. A worker that the machine has held up for a moment refuses it, and a client tries again.
pub fn answer(server: &Handle, offer: &HttpOffer) -> HttpAnswer {
    loop {
        let (reply, answer) = sync_channel(1);
        server.offer(offer.clone(), Box::new(move |result| reply.send(result).unwrap())).unwrap();
        match answer.recv().unwrap() {
            Ok(answer) => return answer,
            Err(NegotiationError::Overloaded) => std::thread::sleep(Duration::from_millis(50)),
            Err(error) => panic!("{error}"),
        }
    }
}
