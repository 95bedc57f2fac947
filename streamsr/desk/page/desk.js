"use strict";
// The queue, as the desk tells it: the page keeps nothing of its own, so that two of them agree.

const token = document.body.dataset.token;
const element = (id) => document.getElementById(id);
const EVERY_MS = 1000;

function address(path) {
  return path + (path.includes("?") ? token.replace("?", "&") : token);
}

// Answers of the desk; an error has its line.
async function ask(method, path, body, signal) {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const answer = await fetch(address(path), { method, signal, ...json });
  if (answer.ok) return answer;
  if (answer.status === 403) throw new Error("this page's address is no longer right: open the one that streamsr printed");
  throw new Error((await answer.json()).error);
}

const asked = async (...request) => (await ask(...request)).json();

function made(name, text, kind) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (kind) node.className = kind;
  return node;
}

function clock(seconds) {
  const s = Math.max(0, Math.round(seconds)), two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600), minutes = Math.floor(s / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

function size(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

let said = "", saidUntil = 0;

// A line at the top, which the state of the connection replaces after a while.
function say(text, bad) {
  said = bad ? text : "";
  saidUntil = Date.now() + 15000;
  show(text, bad);
}

function show(text, bad) {
  if (element("state").textContent !== text) element("state").textContent = text;
  element("state").classList.toggle("gone", Boolean(bad));
}

const OPEN = ["waiting", "running", "paused"];
const rows = new Map();

function button(text, job, action) {
  const node = made("button", text);
  node.type = "button";
  node.setAttribute("aria-label", `${text}: ${job.name}`);
  let busy = false;  // not disabled, which would lose the focus
  node.addEventListener("click", async () => {
    if (busy) return;
    busy = true;
    try {
      await action();
    } catch (error) {
      say(error.message, true);
    }
    busy = false;
    await refresh();
  });
  return node;
}

const change = (job, what) => () => ask("PATCH", `/api/jobs/${job.number}`, what);

function newRow(job) {
  const row = made("li");
  row.dataset.number = job.number;
  const line = made("p", undefined, "line");
  const name = made("span", job.name, "name"), state = made("span", "", "state"), options = made("span", "", "quiet");
  line.append(name, state, options);
  const bar = made("progress");
  bar.setAttribute("aria-label", `progress: ${job.name}`);
  const rate = made("p", "", "quiet rate"), error = made("p", "", "error"), buttons = made("div", undefined, "buttons");
  const told = made("details"), lines = made("pre");
  told.append(made("summary", "What the command said"), lines);
  const all = {
    pause: button("Pause", job, change(job, { state: "paused" })),
    goOn: button("Go on", job, change(job, { state: "waiting" })),
    again: button("Try again", job, change(job, { state: "waiting" })),
    anew: button("Start anew", job, change(job, { state: "waiting", anew: true })),
    up: button("Earlier", job, () => ask("PATCH", `/api/jobs/${job.number}`, { place: rows.get(job.number).place - 1 })),
    down: button("Later", job, () => ask("PATCH", `/api/jobs/${job.number}`, { place: rows.get(job.number).place + 1 })),
    play: button("Play", job, () => play(rows.get(job.number).job)),
    download: made("a", "Download", "button"),
    remove: button("Remove", job, () => ask("DELETE", `/api/jobs/${job.number}`)),
  };
  all.download.href = address(`/api/jobs/${job.number}/after?download=1`);
  all.download.setAttribute("aria-label", `Download: ${job.name}`);
  buttons.append(...Object.values(all));
  row.append(line, bar, rate, error, told, buttons);
  return { row, state, options, bar, rate, error, told, lines, all, job, place: 0 };
}

function fill(parts, job, place, last) {
  parts.job = job;
  parts.place = place;
  const set = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  set(parts.state, job.state);
  parts.state.className = `state ${job.state}`;
  set(parts.options, [job.options.join(" "), job.watched ? "from a watched folder" : ""].filter(Boolean).join(", "));
  const begun = job.total > 0 && job.state !== "done";
  parts.bar.hidden = !(begun || job.state === "running");
  if (begun) {
    parts.bar.max = job.total;
    parts.bar.value = job.frames;
  } else parts.bar.removeAttribute("value");
  let rate = begun ? `${job.frames} of ${job.total} frames` : job.state === "running" ? "starting" : "";
  if (job.fps) rate += `, ${job.fps.toFixed(1)} a second`;
  if (job.left_s !== null) rate += `, ${clock(job.left_s)} left`;
  set(parts.rate, rate);
  parts.rate.hidden = !rate;
  set(parts.error, job.error);
  parts.error.hidden = !job.error;
  set(parts.lines, job.said.join("\n"));
  parts.told.hidden = !job.said.length;
  const visible = {
    pause: ["waiting", "running"], goOn: ["paused"], again: ["failed"], anew: ["failed"], play: ["done"], download: ["done"],
    up: place > 0 ? OPEN : [], down: place < last ? OPEN : [], remove: [job.state],
  };
  for (const [name, states] of Object.entries(visible)) parts.all[name].hidden = !states.includes(job.state);
}

// Rows stay where they are, so that a focus does; only what has another place is moved.
function placed(list, wanted) {
  wanted.forEach((row, at) => {
    if (list.children[at] !== row) list.insertBefore(row, list.children[at] || null);
  });
}

// The focus stays with its job, where a row moves or a button goes.
function draw(jobs) {
  const focused = document.activeElement, row = focused.closest?.(".jobs > li");
  arrange(jobs);
  if (!row?.isConnected || document.activeElement === focused) return;
  if (!focused.checkVisibility()) return [...row.querySelectorAll("button, a")].find((node) => node.checkVisibility())?.focus();
  focused.focus();
}

function arrange(jobs) {
  const present = new Set(jobs.map((job) => job.number));
  for (const [number, parts] of rows) {
    if (!present.has(number)) {
      parts.row.remove();
      rows.delete(number);
    }
  }
  const open = jobs.filter((job) => OPEN.includes(job.state));
  const unfinished = jobs.filter((job) => job.state !== "done"), finished = jobs.filter((job) => job.state === "done").reverse();
  for (const job of jobs) {
    if (!rows.has(job.number)) rows.set(job.number, newRow(job));
    fill(rows.get(job.number), job, open.indexOf(job), open.length - 1);
  }
  const rowOf = (job) => rows.get(job.number).row;
  placed(element("queue"), unfinished.map(rowOf));
  placed(element("finished"), finished.map(rowOf));
  element("nothing").hidden = unfinished.length > 0;
  element("finished-part").hidden = !finished.length;
}

async function refresh() {
  try {
    const { jobs, trouble } = await asked("GET", "/api/jobs");
    draw(jobs);
    const runs = jobs.find((job) => job.state === "running");
    const now = runs ? `working on ${runs.name}` : "ready";
    if (said && Date.now() < saidUntil) return;
    said = "";
    show(trouble ? `the queue cannot be kept: ${trouble}` : now, Boolean(trouble));
  } catch (error) {
    const gone = error instanceof TypeError;  // fetch's word for no connection
    show(gone ? "streamsr is not running: start it again, and this page goes on" : error.message, true);
  }
}

let desk = null;

async function connect() {
  while (desk === null) {
    try {
      desk = await asked("GET", "/api/desk");
    } catch (error) {
      await refresh();
      await new Promise((done) => setTimeout(done, EVERY_MS));
    }
  }
  element("output").textContent = desk.output;
  prepare(desk);
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
}

document.addEventListener("visibilitychange", () => document.hidden || desk === null || refresh());
addEventListener("DOMContentLoaded", connect);
