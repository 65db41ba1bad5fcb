// Records when pictures of others are shown, how wide they are, and how many so far: two between two paints are one record.
// Put into a page before its own scripts.

window.shown = [];
const watched = new WeakSet();

function watch(video) {
  watched.add(video);
  const note = (_now, { width, presentedFrames }) => {
    window.shown.push([Date.now(), width, presentedFrames]);
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
}

setInterval(() => {
  for (const video of document.querySelectorAll('[data-peer] video')) if (!watched.has(video)) watch(video);
}, 50);
