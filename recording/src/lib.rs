//! Records the media that flows through the media server, without a browser and without transcoding.
//!
//! Most programs need only the [`driver`]: [`Recorder::start`](driver::Recorder::start) takes a folder and a media server's
//! handle, [`record`](driver::Recorder::record) and [`stop`](driver::Recorder::stop) begin and end the recording of a room,
//! [`index`](driver::Recorder::index) lists the files, and [`shut_down`](driver::Recorder::shut_down) completes those that
//! are open.
//!
//! [`Recording`] turns the audio and video of one publisher into a file, as a state machine: its inputs are packets,
//! reports and the time; its output is bytes to write. It restores the order of packets ([`reorder`]), assembles frames
//! ([`depacketize`]), aligns audio and video by the publisher's sender reports, and cuts fragments ([`container`]), so
//! that the data on disk is playable at any time.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use recording::container::Lane;
//! use recording::{Output, Packet, Recording};
//! use sfu::codec::Codec;
//!
//! let start = Instant::now(); // a driver reads its clock
//! let mut recording = Recording::new(start);
//! recording.add_track("microphone".into(), Lane::Audio);
//! for n in 0..100_u32 {
//!     let at = start + Duration::from_millis(20) * n;
//!     let payload = [0xf8, 0xff, 0xfe].into();
//!     let position = u64::from(n);
//!     let packet = Packet { at, position, generation: 0, timestamp: n * 960, marker: false, rotation: None, codec: Codec::Opus, payload };
//!     recording.handle_packet(at, "microphone", packet);
//!     recording.handle_timeout(at);
//! }
//! recording.finish(start + Duration::from_secs(2));
//! let mut file = Vec::new();
//! while let Some(output) = recording.poll_output() {
//!     match output {
//!         Output::Begin { head, .. } => file = head,
//!         Output::Append(bytes) => file.extend(bytes),
//!         Output::Head(head) => file[..head.len()].copy_from_slice(&head),
//!         Output::Keyframe(_track) => {} // ask the publisher
//!         Output::End { duration, codecs } => {
//!             assert_eq!((duration, codecs), (Duration::from_secs(2), vec!["opus"]));
//!         }
//!     }
//! }
//! assert_eq!(&file[4..8], b"ftyp");
//! ```
#![forbid(unsafe_code)]

mod captions;
pub mod claim;
mod clock;
pub mod container;
pub mod depacketize;
pub mod driver;
pub mod ffmpeg;
mod file;
pub mod finalise;
pub mod format;
pub mod index;
mod recording;
pub mod reorder;
mod retention;
pub mod store;
mod track;
pub mod upload;

pub use recording::{Output, Recording};
pub use retention::{Cause, Retention};
pub use track::{Packet, Report};
