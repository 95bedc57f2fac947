"use strict";
// A finished film, before and after at the same time. What the browser cannot play can be downloaded.

const APART_S = 0.08;  // two pictures of 25 a second: further apart, the smaller film is set to the time of the larger
let after = null, before = null;

function player(kind, path, cover) {
  const node = made(kind.startsWith("image/") ? "img" : "video");
  node.alt = "";
  node.playsInline = true;
  node.preload = "auto";
  node.src = address(path);
  if (cover) node.className = "behind";
  return node;
}

function play(job) {
  element("playing").textContent = job.name;
  element("download").href = address(`/api/jobs/${job.number}/after?download=1`);
  element("unplayed").hidden = true;
  element("screen").hidden = false;
  element("films").replaceChildren();
  element("player").showModal();
  const cannot = () => {
    element("screen").hidden = element("controls").hidden = true;
    element("unplayed").textContent = "This browser does not play this kind of film; download it.";
    element("unplayed").hidden = false;
  };
  [after, before] = [null, null];
  if (!job.after) return cannot();
  after = player(job.after, `/api/jobs/${job.number}/after`, false);
  const alone = () => element("screen").classList.add("alone");
  element("screen").classList.toggle("alone", !job.before);
  after.addEventListener("error", cannot);
  element("films").append(after);
  if (job.before) {
    before = player(job.before, `/api/jobs/${job.number}/before`, true);
    before.muted = true;
    before.addEventListener("error", alone);
    element("films").append(before);
  }
  const isFilm = after.tagName === "VIDEO";
  element("controls").hidden = !isFilm;
  const shape = () => {
    const [width, height] = isFilm ? [after.videoWidth, after.videoHeight] : [after.naturalWidth, after.naturalHeight];
    if (width) element("screen").style.setProperty("--shape", width / height);
  };
  if (!isFilm) return after.addEventListener("load", shape);
  after.addEventListener("loadedmetadata", () => {
    shape();
    element("seek").max = after.duration;
  });
  for (const kind of ["play", "pause", "timeupdate", "seeked", "ended"]) after.addEventListener(kind, together);
}

// The other film does what this one does.
function together() {
  element("play").textContent = after.paused ? "Play" : "Pause";
  element("seek").value = after.currentTime;
  element("time").textContent = `${clock(after.currentTime)} / ${clock(after.duration || 0)}`;
  if (before?.tagName !== "VIDEO") return;
  if (Math.abs(before.currentTime - after.currentTime) > APART_S) before.currentTime = after.currentTime;
  if (before.paused !== after.paused) after.paused ? before.pause() : before.play().catch(() => {});
}

element("play").addEventListener("click", () => {
  if (!after.paused) return after.pause();
  after.play().catch((error) => say(error.message, true));
});
element("seek").addEventListener("input", () => { after.currentTime = element("seek").value; });
element("curtain").addEventListener("input", () => {
  element("films").style.setProperty("--share", `${element("curtain").value / 10}%`);
});
element("sound").addEventListener("click", () => {
  after.muted = !after.muted;
  element("sound").setAttribute("aria-pressed", String(after.muted));
});
element("close").addEventListener("click", () => element("player").close());
element("player").addEventListener("close", () => {
  for (const film of [after, before]) {
    film?.pause?.();
    film?.removeAttribute("src");
    film?.load?.();
  }
  element("films").replaceChildren();
  [after, before] = [null, null];
});
