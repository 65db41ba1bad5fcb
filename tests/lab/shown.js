// Records when each picture of others is shown, and how wide it is. Put into a page before its own scripts.

window.shown = [];
const watched = new WeakSet();

function watch(video) {
  watched.add(video);
  let source = video.srcObject;
  const note = (_now, { width }) => {
    if (video.srcObject !== source) source = video.srcObject;
    window.shown.push([Date.now(), width]);
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
}

setInterval(() => {
  for (const video of document.querySelectorAll('[data-peer] video')) if (!watched.has(video)) watch(video);
}, 50);
