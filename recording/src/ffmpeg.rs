//! Processes finished recordings with ffmpeg. No call depends on it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use rustix::process::{Pid, setpriority_process};
use sfu::Rotation;

/// The niceness of ffmpeg, which gives way to everything else on the machine.
const NICENESS: i32 = 15;
/// A job hangs if it takes longer than this time plus this multiple of the recording's length.
const PATIENCE: Duration = Duration::from_secs(600);
const PATIENCE_FACTOR: u32 = 6;
/// Maximum number of bytes of ffmpeg's messages that are kept.
const MAX_WORDS: u64 = 4_096;
/// The exit status of a launcher that does not find the program, as with shells.
const MISSING: i32 = 127;

/// The ffmpeg program, from the PATH or as configured by the operator.
#[derive(Clone, Debug)]
pub struct Ffmpeg {
    program: PathBuf,
    /// The program that starts ffmpeg, with its arguments; empty for none.
    launcher: Vec<OsString>,
    on_wait: Option<OnWait>,
}

/// A callback that runs repeatedly while ffmpeg works; `false` stops ffmpeg.
#[derive(Clone)]
struct OnWait(Arc<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for OnWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnWait")
    }
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FfmpegError {
    /// The program was not found.
    #[error("ffmpeg ({0}) was not found; install it, or name it with --ffmpeg")]
    Missing(PathBuf),
    /// The program could not be run.
    #[error("ffmpeg cannot be run")]
    Run(#[source] io::Error),
    /// The program reported an error.
    #[error("ffmpeg failed: {0}")]
    Failed(String),
    /// The program took too long and was stopped.
    #[error("ffmpeg took too long")]
    Hung,
    /// The program was stopped because the server is shutting down.
    #[error("ffmpeg was ended with the server")]
    Stopped,
}

/// One recording in a composite picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The path of its file.
    pub path: PathBuf,
    /// The start of the recording within the composite.
    pub offset: Duration,
    /// The rotation of its pictures, if the file does not contain it.
    pub rotation: Rotation,
    /// Whether the recording has video.
    pub video: bool,
    /// Whether the recording has audio.
    pub audio: bool,
}

/// The encoder needs an even number of rows and columns.
const EVEN: &str = "scale=trunc(iw/2)*2:trunc(ih/2)*2";

/// The output size and rotation of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The width and height of the largest picture before rotation; smaller pictures are scaled up to it.
    pub size: (u16, u16),
    /// The rotation of all pictures.
    pub rotation: Rotation,
}

impl Shown {
    fn filters(self) -> String {
        let even = |side: u16| (side / 2 * 2).max(2);
        let (width, height) = (even(self.size.0), even(self.size.1));
        let mut filters = format!(
            "scale={width}:{height}:force_original_aspect_ratio=decrease,pad={width}:{height}:(ow-iw)/2:(oh-ih)/2,setsar=1"
        );
        filters.push_str(turned(self.rotation));
        filters
    }
}

/// The filter that rotates a picture, to be appended to other filters.
fn turned(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::Upright => "",
        Rotation::Quarter => ",transpose=clock",
        Rotation::Half => ",hflip,vflip",
        Rotation::ThreeQuarters => ",transpose=cclock",
    }
}

impl Ffmpeg {
    /// Uses the program with this name or path.
    pub fn new(program: PathBuf) -> Self {
        Self { program, launcher: Vec::new(), on_wait: None }
    }

    /// Starts ffmpeg with a launcher, which receives ffmpeg and its arguments after its own, and exits with status 127
    /// if ffmpeg is missing. A launcher can end ffmpeg together with this process, however that ends.
    #[must_use]
    pub fn with_launcher(self, launcher: Vec<OsString>) -> Self {
        Self { launcher, ..self }
    }

    /// Calls this function several times a second while ffmpeg works; if it returns `false`, ffmpeg is stopped.
    #[must_use]
    pub fn while_waiting(self, go_on: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { on_wait: Some(OnWait(Arc::new(go_on))), ..self }
    }

    /// Checks that ffmpeg exists and runs.
    pub fn check(&self) -> Result<(), FfmpegError> {
        self.run(&[OsString::from("-version")], Duration::ZERO)
    }

    /// Moves the index to the beginning of the file, so that playback can start before the download is
    /// complete. Nothing is transcoded.
    pub fn faststart(&self, from: &Path, to: &Path, length: Duration) -> Result<(), FfmpegError> {
        let mut arguments = input(from, Duration::ZERO);
        arguments.extend(words(&["-map", "0", "-c", "copy"]));
        arguments.extend(output(to));
        self.run(&arguments, length)
    }

    /// Transcodes the video to H.264 of one size in an MP4; the audio is copied.
    pub fn to_mp4(
        &self,
        from: &Path,
        to: &Path,
        length: Duration,
        shown: Option<Shown>,
    ) -> Result<(), FfmpegError> {
        let mut arguments = words(&["-noautorotate"]);
        arguments.extend(input(from, Duration::ZERO));
        let filters = shown.map_or_else(|| EVEN.to_owned(), Shown::filters);
        arguments.extend(words(&["-map", "0", "-c:a", "copy", "-vf", &filters]));
        arguments.extend(words(&["-fps_mode", "passthrough", "-enc_time_base", "-1"]));
        arguments.extend(words(&H264));
        arguments.extend(output(to));
        self.run(&arguments, length)
    }

    /// Combines recordings into one picture as a grid, with their audio mixed.
    pub fn composite(&self, tiles: &[Tile], to: &Path, length: Duration) -> Result<(), FfmpegError> {
        let mut arguments = Vec::new();
        for tile in tiles {
            // Changes of picture size are handled by the filters. A graph that was rebuilt would insert
            // the initial padding again.
            arguments.extend(words(&["-reinit_filter", "0"]));
            arguments.extend(input(&tile.path, Duration::ZERO));
        }
        let (filter, outputs) = grid(tiles);
        arguments.extend(words(&["-filter_complex", &filter]));
        for name in outputs {
            arguments.extend(words(&["-map", name]));
        }
        arguments.extend(words(&H264));
        arguments.extend(words(&["-c:a", "aac", "-b:a", "160k"]));
        arguments.extend(output(to));
        self.run(&arguments, length)
    }

    fn run(&self, arguments: &[OsString], length: Duration) -> Result<(), FfmpegError> {
        // Arguments are passed without a shell, so that no part of a file name is interpreted.
        let mut command = match self.launcher.split_first() {
            Some((launcher, arguments)) => {
                let mut command = Command::new(launcher);
                command.args(arguments).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        let mut child = command
            .args(["-nostdin", "-hide_banner", "-v", "error"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => FfmpegError::Missing(self.program.clone()),
                _ => FfmpegError::Run(error),
            })?;
        if let Some(pid) = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0))
            && let Err(error) = setpriority_process(Some(pid), NICENESS)
        {
            tracing::debug!(%error, "ffmpeg runs as if it mattered");
        }
        let words = child.stderr.take().map(|stderr| {
            thread::spawn(move || {
                let mut words = String::new();
                let mut stderr = stderr;
                // Output beyond the limit is read and discarded, so that ffmpeg does not block.
                let kept = stderr.by_ref().take(MAX_WORDS).read_to_string(&mut words);
                let drained = io::copy(&mut stderr, &mut io::sink());
                if kept.is_err() || drained.is_err() { String::new() } else { words }
            })
        });
        let status = self.wait(&mut child, PATIENCE + length * PATIENCE_FACTOR)?;
        let words = words.and_then(|words| words.join().ok()).unwrap_or_default();
        if status.success() {
            Ok(())
        } else if !self.launcher.is_empty() && status.code() == Some(MISSING) {
            Err(FfmpegError::Missing(self.program.clone()))
        } else {
            Err(FfmpegError::Failed(format!("{status}: {}", words.trim())))
        }
    }

    #[allow(clippy::disallowed_methods, reason = "the limit of a job is one of the clock on the wall")]
    fn wait(&self, child: &mut Child, patience: Duration) -> Result<ExitStatus, FfmpegError> {
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(FfmpegError::Run)? {
                return Ok(status);
            }
            let may_go_on = self.on_wait.as_ref().is_none_or(|OnWait(go_on)| go_on());
            let is_late = begun.elapsed() > patience;
            if is_late || !may_go_on {
                child.kill().and_then(|()| child.wait()).map_err(FfmpegError::Run)?;
                return Err(if is_late { FfmpegError::Hung } else { FfmpegError::Stopped });
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

const H264: [&str; 8] = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p"];

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// A file URL, so that the path cannot be taken for another protocol or an option.
fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push::<&OsStr>(path.as_os_str());
    url
}

fn input(path: &Path, offset: Duration) -> Vec<OsString> {
    let mut arguments = words(&["-protocol_whitelist", "file"]);
    if !offset.is_zero() {
        arguments.extend(words(&["-itsoffset", &format!("{:.3}", offset.as_secs_f64())]));
    }
    arguments.push("-i".into());
    arguments.push(file_url(path));
    arguments
}

fn output(path: &Path) -> Vec<OsString> {
    let mut arguments = words(&["-movflags", "+faststart", "-f", "mp4", "-y"]);
    arguments.push(file_url(path));
    arguments
}

/// The filter graph that combines video and audio, and the labels of its outputs.
fn grid(tiles: &[Tile]) -> (String, Vec<&'static str>) {
    const WIDTH: usize = 1_280;
    const HEIGHT: usize = 720;
    let shown: Vec<_> = tiles.iter().enumerate().filter(|(_, tile)| tile.video).collect();
    let heard: Vec<_> = tiles.iter().enumerate().filter(|(_, tile)| tile.audio).collect();
    let columns = (1..=shown.len()).find(|columns| columns * columns >= shown.len()).unwrap_or(1);
    let rows = shown.len().div_ceil(columns).max(1);
    let (width, height) = (WIDTH / columns / 2 * 2, HEIGHT / rows / 2 * 2);
    let mut filters = Vec::new();
    let mut outputs = Vec::new();
    for (place, (input, tile)) in shown.iter().enumerate() {
        filters.push(format!(
            "[{input}:v]null{},scale={width}:{height}:force_original_aspect_ratio=decrease:eval=frame,\
             pad={width}:{height}:(ow-iw)/2:(oh-ih)/2:eval=frame,setsar=1,fps=25,\
             tpad=start_duration={:.3}:color=black,format=yuv420p[v{place}]",
            turned(tile.rotation),
            tile.offset.as_secs_f64()
        ));
    }
    match shown.len() {
        0 => {}
        1 => filters.push("[v0]null[v]".to_owned()),
        count => {
            let names = labels("v", count);
            let places: Vec<_> =
                (0..count).map(|at| format!("{}_{}", at % columns * width, at / columns * height)).collect();
            filters.push(format!("{names}xstack=inputs={count}:layout={}:fill=black[v]", places.join("|")));
        }
    }
    if !shown.is_empty() {
        outputs.push("[v]");
    }
    for (place, (input, tile)) in heard.iter().enumerate() {
        let millis = tile.offset.as_millis();
        filters
            .push(format!("[{input}:a]aresample=48000:async=1:first_pts=0,adelay={millis}:all=1[a{place}]"));
    }
    if !heard.is_empty() {
        let names = labels("a", heard.len());
        filters.push(format!(
            "{names}amix=inputs={}:duration=longest:normalize=0,alimiter=limit=0.95[a]",
            heard.len()
        ));
        outputs.push("[a]");
    }
    (filters.join(";"), outputs)
}

fn labels(kind: &str, count: usize) -> String {
    (0..count).map(|place| format!("[{kind}{place}]")).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_said_by_its_name() {
        let error = Ffmpeg::new("no-such-ffmpeg".into()).check().unwrap_err();
        assert!(error.to_string().contains("no-such-ffmpeg"), "{error}");
    }

    #[test]
    fn a_program_that_is_killed_or_fails_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("ffmpeg");
        for (text, expected) in
            [("kill -9 $$", "signal: 9"), ("echo broken >&2; exit 3", "exit status: 3: broken")]
        {
            std::fs::write(&script, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            let error = Ffmpeg::new(script.clone()).check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn names_stay_names() {
        let arguments = input(Path::new("-i"), Duration::ZERO);
        assert_eq!(arguments, ["-protocol_whitelist", "file", "-i", "file:-i"].map(OsString::from));
        assert_eq!(output(Path::new("http://x/../y")).last(), Some(&OsString::from("file:http://x/../y")));
    }

    /// The output of a program; `None` if the program is missing.
    fn printed(program: &str, arguments: &[&str]) -> Option<String> {
        let output = Command::new(program).args(arguments).output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    }

    /// The width and height, and the mean brightness of the upper half of the first picture.
    fn seen(path: &Path) -> (String, f64) {
        let name = path.to_str().unwrap();
        let size =
            ["-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0"];
        let size = printed("ffprobe", &[&size[..], &[name]].concat()).unwrap();
        let filter = "crop=iw:ih/2:0:0,signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-";
        let levels = ["-v", "error", "-i", name, "-frames:v", "1", "-vf", filter, "-f", "null", "-"];
        let levels = printed("ffmpeg", &levels).unwrap();
        (size.trim().to_owned(), levels.trim().rsplit('=').next().unwrap().parse().unwrap())
    }

    #[test]
    fn pictures_come_out_upright_and_of_one_size() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("lying.webm"), folder.path().join("upright.mp4"));
        // White on the left, black on the right: after clockwise rotation, white is at the top.
        let source = "color=white:size=160x180:rate=10:duration=1,pad=320:180:0:0:black";
        let words = ["-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libvpx", from.to_str().unwrap()];
        if printed("ffmpeg", &words).is_none() {
            println!("ffmpeg is missing");
            return;
        }
        let ffmpeg = Ffmpeg::new("ffmpeg".into());
        for (rotation, size, upper_is_white) in [
            (Rotation::Upright, "640,360", None),
            (Rotation::Quarter, "360,640", Some(true)),
            (Rotation::Half, "640,360", None),
            (Rotation::ThreeQuarters, "360,640", Some(false)),
        ] {
            let shown = Shown { size: (641, 361), rotation };
            ffmpeg.to_mp4(&from, &to, Duration::from_secs(1), Some(shown)).unwrap();
            let (found, brightness) = seen(&to);
            assert_eq!(found, size, "{rotation:?}");
            if let Some(white) = upper_is_white {
                assert_eq!(brightness > 128.0, white, "{rotation:?}: {brightness}");
            }
            let tile =
                Tile { path: from.clone(), offset: Duration::ZERO, rotation, video: true, audio: false };
            ffmpeg.composite(&[tile], &to, Duration::from_secs(1)).unwrap();
            let (_, brightness) = seen(&to);
            if let Some(white) = upper_is_white {
                assert_eq!(brightness > 60.0, white, "{rotation:?}: {brightness} in the whole");
            }
        }
    }

    #[test]
    fn tiles_fill_a_grid() {
        let tile = |video, audio| Tile {
            path: "a".into(),
            offset: Duration::from_millis(1_500),
            rotation: Rotation::Upright,
            video,
            audio,
        };
        let (filter, outputs) =
            grid(&[tile(true, true), tile(true, false), tile(false, true), tile(true, true)]);
        assert_eq!(outputs, ["[v]", "[a]"]);
        assert!(filter.contains("xstack=inputs=3:layout=0_0|640_0|0_360"), "{filter}");
        assert!(
            filter.contains("[2:a]") && !filter.contains("[2:v]") && !filter.contains("[1:a]"),
            "{filter}"
        );
        assert!(filter.contains("adelay=1500:all=1") && filter.contains("start_duration=1.500"), "{filter}");
    }
}
