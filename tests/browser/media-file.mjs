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
  const { stdout, stderr } = await run('ffprobe', ['-v', 'repeat+warning', '-count_packets', '-show_format', '-show_streams', '-of', 'json', file]);
  const { streams, format } = JSON.parse(stdout);
  const of = (kind) => streams.find(({ codec_type }) => codec_type === kind);
  return { video: of('video'), audio: of('audio'), duration: Number(format.duration), complaints: stderr };
}

/** Decodes all of a file and gives what ffmpeg complains of. */
export async function decode(file) {
  const { stderr } = await run('ffmpeg', ['-v', 'repeat+warning', '-i', file, '-fps_mode', 'passthrough', '-enc_time_base', '-1', '-f', 'null', '-'], { maxBuffer: 1 << 26 });
  // Its scaler speaks where pictures change their size in mid-file: that is about scaling, not about the file.
  return stderr.split('\n').filter((line) => !line.startsWith('[swscaler')).join('\n');
}

/** The picture at a second of a file in a size: bytes of red, green and blue. */
export async function picture(file, second, width, height) {
  const words = ['-v', 'error', '-ss', String(second), '-i', file, '-frames:v', '1', '-vf', `scale=${width}:${height}`, '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'];
  return [...(await run('ffmpeg', words, { encoding: 'buffer' })).stdout];
}

/** When the picture turns white, in seconds. */
export const flashes = async (file) => rises(await levels(file, ['-an', '-vf', 'signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-']), 128);

/** When the sound begins, in seconds, to 5 ms. */
export const beeps = async (file) =>
  rises(await levels(file, ['-vn', '-af', 'aresample=48000,asetnsamples=240,astats=metadata=1:reset=1,ametadata=print:key=lavfi.astats.Overall.RMS_level:file=-']), -30);

/** What a filter that prints levels says of a file: `[[seconds, level], …]`. */
async function levels(file, filter) {
  const { stdout } = await run('ffmpeg', ['-v', 'error', '-i', file, ...filter, '-fps_mode', 'passthrough', '-f', 'null', '-'], { maxBuffer: 1 << 26 });
  return [...stdout.matchAll(/pts_time:(\S+)\s+lavfi\.\S+=(\S+)/g)].map(([, time, level]) => [Number(time), Number(level)]);
}

/** Where a row of [time, level] rises over a threshold. There is one rise a second: a flicker at the end of one is none. */
function rises(rows, threshold) {
  const found = [];
  let above = true;
  for (const [time, level] of rows) {
    const now = level > threshold;
    if (now && !above && time - (found.at(-1) ?? -1) > 0.5) found.push(time);
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
