// Looks into media files with ffprobe and ffmpeg.

import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The media files in a folder, oldest first. */
export const mediaFiles = (folder) => readdirSync(folder).filter((name) => /\.(mp4|webm)$/.test(name)).sort().map((name) => path.join(folder, name));

/** What ffprobe reads of a file, with everything that it complains of in `complaints`. */
export async function probe(file) {
  const { stdout, stderr } = await run('ffprobe', ['-v', 'warning', '-count_packets', '-show_format', '-show_streams', '-of', 'json', file]);
  const { streams, format } = JSON.parse(stdout);
  const of = (kind) => streams.find(({ codec_type }) => codec_type === kind);
  return { video: of('video'), audio: of('audio'), duration: Number(format.duration), complaints: stderr };
}

/** Decodes all of a file and gives what ffmpeg complains of. */
export async function decode(file) {
  const { stderr } = await run('ffmpeg', ['-v', 'warning', '-i', file, '-fps_mode', 'passthrough', '-enc_time_base', '-1', '-f', 'null', '-'], { maxBuffer: 1 << 26 });
  return stderr;
}

/** When the picture turns white, in seconds. */
export async function flashes(file) {
  const { stdout } = await run('ffprobe', ['-v', 'error', '-f', 'lavfi', `movie=${file},signalstats`, '-show_entries', 'frame=pts_time:frame_tags=lavfi.signalstats.YAVG', '-of', 'csv=p=0'], { maxBuffer: 1 << 26 });
  return rises(stdout.trim().split('\n').map((line) => line.split(',').map(Number)), 128);
}

/** When the sound begins, in seconds. */
export async function beeps(file) {
  // 5 ms of sound at a time, each with its place on the file's own clock.
  const filter = `amovie=${file},aresample=48000,asetnsamples=240,astats=metadata=1:reset=1`;
  const { stdout } = await run('ffprobe', ['-v', 'error', '-f', 'lavfi', filter, '-show_entries', 'frame=pts_time:frame_tags=lavfi.astats.Overall.RMS_level', '-of', 'csv=p=0'], { maxBuffer: 1 << 26 });
  return rises(stdout.trim().split('\n').map((line) => line.split(',').map(Number)), -30);
}

/** Where a row of [time, level] rises over a threshold. */
function rises(rows, threshold) {
  const found = [];
  let above = true;
  for (const [time, level] of rows) {
    const now = level > threshold;
    if (now && !above) found.push(time);
    above = now;
  }
  return found;
}

/** How far each beep lies behind the flash next to it, in milliseconds. */
export async function lags(file) {
  const [seen, heard] = await Promise.all([flashes(file), beeps(file)]);
  return heard.flatMap((beep) => {
    const nearest = seen.reduce((best, flash) => (Math.abs(flash - beep) < Math.abs(best - beep) ? flash : best), Infinity);
    return Math.abs(nearest - beep) < 0.4 ? [Math.round((beep - nearest) * 1000)] : [];
  });
}
