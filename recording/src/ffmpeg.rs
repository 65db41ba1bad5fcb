//! What ffmpeg does with recordings afterwards. Nothing of a call waits for it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use rustix::process::{Pid, setpriority_process};
use sfu::Rotation;

/// Everything else on the machine goes first.
const NICENESS: i32 = 15;
/// A job that takes longer than this, and so many times the recording's length, hangs.
const PATIENCE: Duration = Duration::from_secs(600);
const PATIENCE_FACTOR: u32 = 6;
/// How much of what ffmpeg says is kept.
const MAX_WORDS: u64 = 4_096;
/// With which status a launcher ends that does not find the program, as shells do.
const MISSING: i32 = 127;

/// ffmpeg, as found on the PATH or named by the operator.
#[derive(Clone, Debug)]
pub struct Ffmpeg {
    program: PathBuf,
    /// The program that starts it, with its arguments, if there is one.
    launcher: Vec<OsString>,
    on_wait: Option<OnWait>,
}

/// Asked again and again while ffmpeg works; `false` ends it.
#[derive(Clone)]
struct OnWait(Arc<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for OnWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnWait")
    }
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FfmpegError {
    /// It is not there.
    #[error("ffmpeg ({0}) was not found; install it, or name it with --ffmpeg")]
    Missing(PathBuf),
    /// It could not be run.
    #[error("ffmpeg cannot be run")]
    Run(#[source] io::Error),
    /// It ended with an error, which it explains.
    #[error("ffmpeg failed: {0}")]
    Failed(String),
    /// It took far too long, and was ended.
    #[error("ffmpeg took too long")]
    Hung,
    /// It was ended with the process that needed it.
    #[error("ffmpeg was ended with the server")]
    Stopped,
}

/// One recording in a picture of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its file.
    pub path: PathBuf,
    /// When it begins in the whole.
    pub offset: Duration,
    /// How its pictures are to be turned, where the file does not say so itself.
    pub rotation: Rotation,
    /// Whether there is a picture in it.
    pub video: bool,
    /// Whether there is sound in it.
    pub audio: bool,
}

/// H.264 has an even number of rows and columns.
const EVEN: &str = "scale=trunc(iw/2)*2:trunc(ih/2)*2";

/// How pictures are to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Width and height of the largest, before it is turned: the others are enlarged to it.
    pub size: (u16, u16),
    /// How all are to be turned.
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

/// The filter that turns a picture, behind others.
fn turned(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::Upright => "",
        Rotation::Quarter => ",transpose=clock",
        Rotation::Half => ",hflip,vflip",
        Rotation::ThreeQuarters => ",transpose=cclock",
    }
}

impl Ffmpeg {
    /// The program of this name or path.
    pub fn new(program: PathBuf) -> Self {
        Self { program, launcher: Vec::new(), on_wait: None }
    }

    /// Has another program start it: one that gets ffmpeg and its arguments behind these, and ends with status 127 where
    /// ffmpeg is missing. By it ffmpeg can be made to end with this process, however that ends.
    #[must_use]
    pub fn with_launcher(self, launcher: Vec<OsString>) -> Self {
        Self { launcher, ..self }
    }

    /// Asks this several times a second while ffmpeg works; at `false` ffmpeg is ended.
    #[must_use]
    pub fn while_waiting(self, go_on: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { on_wait: Some(OnWait(Arc::new(go_on))), ..self }
    }

    /// Whether it is there and runs.
    pub fn check(&self) -> Result<(), FfmpegError> {
        self.run(&[OsString::from("-version")], Duration::ZERO)
    }

    /// Puts the index to the beginning, so that playing can begin before all of it is there. Nothing is coded anew.
    pub fn faststart(&self, from: &Path, to: &Path, length: Duration) -> Result<(), FfmpegError> {
        let mut arguments = input(from, Duration::ZERO);
        arguments.extend(words(&["-map", "0", "-c", "copy"]));
        arguments.extend(output(to));
        self.run(&arguments, length)
    }

    /// Makes an MP4 with H.264 of whatever the pictures were, all of one size; the sound stays as it is.
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

    /// Puts recordings side by side into one picture, with all their sound.
    pub fn composite(&self, tiles: &[Tile], to: &Path, length: Duration) -> Result<(), FfmpegError> {
        let mut arguments = Vec::new();
        for tile in tiles {
            // Pictures that change their size change it within the graph: made anew, it would wait for the beginning again.
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
        // Words in a row, no shell: what stands in a name stays a name.
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
                // What does not fit is read all the same, so that it does not stop.
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

/// A path that no protocol and no option is read out of.
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

/// The filters that make one picture and one sound of many, and what they are called.
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

    /// What a program prints; `None` where it is missing.
    fn printed(program: &str, arguments: &[&str]) -> Option<String> {
        let output = Command::new(program).args(arguments).output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    }

    /// Width and height, and the mean brightness of the upper half of the first picture.
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
        // White on the left, black on the right: turned clockwise, the white is above.
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
