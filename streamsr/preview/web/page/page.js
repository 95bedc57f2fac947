"use strict";
// Live view: pictures and numbers come over one WebSocket, the camera's pictures go over another.

const token = document.body.dataset.token;
const element = (id) => document.getElementById(id);
const address = (path) => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/${path}${token}`;
const FATES = {
  network: "computed as a whole",
  reused: "nothing changed",
  partial: "part computed, part reused or interpolated",
  resized: "interpolated: no time for the network",
  dropped: "too old, or a newer one waited",
};

const picture = element("picture"), paper = picture.getContext("2d");
let before = null, after = null, running = true, view = null, drawn = 0, trouble = "";

function draw() {
  if (!after) return;
  drawDivided(picture, before, after, element("divider").value / 1000);
  element("stage").style.setProperty("--shape", after.width / after.height);
}

async function show(buffer) {
  const pair = await pairOf(buffer);
  before?.close();
  after?.close();
  [before, after] = pair;
  drawn += 1;
  document.body.dataset.drawn = drawn;
  draw();
}

const ages = [];

function chart(budget) {
  const canvas = element("chart"), pen = canvas.getContext("2d");
  const top = Math.max(...ages, budget || 0, 1) * 1.15, y = (age) => canvas.height * (1 - age / top);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (budget) {
    pen.strokeStyle = "#d05353";
    pen.setLineDash([6, 4]);
    pen.beginPath();
    pen.moveTo(0, y(budget));
    pen.lineTo(canvas.width, y(budget));
    pen.stroke();
    pen.setLineDash([]);
  }
  pen.strokeStyle = "#4caf7d";
  pen.beginPath();
  ages.forEach((age, i) => pen.lineTo(i * canvas.width / 300, y(age)));
  pen.stroke();
}

function say(text, gone) {
  element("state").textContent = text;
  element("state").classList.toggle("gone", gone);
}

function numbers(n) {
  say(trouble || n.state, trouble !== "" || n.state !== "live");
  ages.push(...n.ages_ms);
  ages.splice(0, Math.max(ages.length - 300, 0));
  const worst = n.ages_ms.length ? `${Math.max(...n.ages_ms).toFixed(0)} ms` : "";
  element("age").textContent = worst + (n.budget_ms ? `, budget ${n.budget_ms} ms` : "");
  element("rate").textContent = `${n.fps.toFixed(1)} fps` + (n.quality ? `, quality ${n.quality}` : "");
  element("sound").textContent = n.sound;
  chart(n.budget_ms);
  const names = Object.keys(FATES), total = names.reduce((sum, fate) => sum + n.frames[fate], 0) || 1;
  element("fates").replaceChildren(...names.map((fate) => {
    const part = document.createElement("div");
    part.style.flex = n.frames[fate] / total;
    part.style.background = `var(--${fate})`;
    part.title = fate;
    return part;
  }));
  element("counts").replaceChildren(...names.map((fate) => {
    const row = document.createElement("tr"), name = row.insertCell(), key = document.createElement("span");
    key.className = "key";
    key.style.background = `var(--${fate})`;
    name.append(key, fate);
    row.insertCell().textContent = FATES[fate];
    row.insertCell().textContent = n.frames[fate];
    return row;
  }));
}

function connect() {
  view = new WebSocket(address("view"));
  view.binaryType = "arraybuffer";
  let busy = Promise.resolve();
  view.onopen = () => view.send(running ? "start" : "stop");
  view.onmessage = ({ data }) => {
    if (typeof data === "string") numbers(JSON.parse(data));
    else busy = busy.then(() => show(data)).catch(() => {});
  };
  view.onclose = () => {
    say("streamsr has ended, or is out of reach", true);
    setTimeout(connect, 1000);
  };
}

async function useCamera() {
  trouble = "";
  const media = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 360 } });
  const video = document.createElement("video");
  video.srcObject = media;
  video.muted = true;
  await video.play();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const link = new WebSocket(address("camera"));
  const send = () => {
    if (!running || link.readyState !== WebSocket.OPEN) return;
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && link.readyState === WebSocket.OPEN && link.send(blob), "image/jpeg", 0.92);
  };
  const next = () => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(send) : setTimeout(send, 33));
  link.onopen = send;
  link.onmessage = next;
  link.onclose = () => {
    media.getTracks().forEach((track) => track.stop());
    element("camera").hidden = false;
  };
  element("camera").hidden = true;
  element("run").addEventListener("click", () => running && link.readyState === WebSocket.OPEN && send());
}

element("divider").addEventListener("input", draw);
element("run").addEventListener("click", () => {
  running = !running;
  element("run").textContent = running ? "Stop" : "Start";
  if (view.readyState === WebSocket.OPEN) view.send(running ? "start" : "stop");
});
if (document.body.dataset.camera === "yes") {
  element("camera").hidden = false;
  const start = () => useCamera().catch((error) => say(trouble = `no camera: ${error.message}`, true));
  element("camera").addEventListener("click", start);
  start();
}
connect();
