"""The page that `tracker.web_server` serves: one document, its style and its script, which need nothing else.

The script asks for the newest picture, paints it with the boxes that belong to it, and asks again: a slow browser gets
fewer pictures, never older ones.
"""

from __future__ import annotations

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark">
<title>siamtrack</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
</head>
<body>
<header>
  <h1 id="name">siamtrack</h1>
  <p id="facts">connecting …</p>
</header>
<main>
  <div id="stage">
    <canvas id="picture" width="960" height="540" aria-label="the current frame; draw boxes here"></canvas>
    <p id="note" role="status"></p>
  </div>
  <aside>
    <nav>
      <button id="pause" disabled>Pause</button>
      <button id="pace" disabled aria-pressed="false">Real time</button>
      <button id="stop" disabled>Stop</button>
    </nav>
    <ul id="targets"></ul>
    <p id="help"></p>
    <figure>
      <figcaption>Score over time</figcaption>
      <canvas id="chart" width="600" height="160" aria-label="score of each target over the frames"></canvas>
    </figure>
  </aside>
</main>
<script src="page.js"></script>
</body>
</html>
"""

STYLE = """\
* { box-sizing: border-box; margin: 0; }
:root { --ground: #14171a; --raised: #20252a; --line: #39424a; --text: #eceff1; --quiet: #a9b4bc; --own: #00c882; }
html { -webkit-text-size-adjust: 100%; }
body { background: var(--ground); color: var(--text); font: 16px/1.45 system-ui, sans-serif; padding: 12px; }
header { display: flex; flex-wrap: wrap; gap: 0 16px; align-items: baseline; max-width: 1500px; margin: 0 auto 8px; }
h1 { font-size: 17px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 100%; }
#facts { color: var(--quiet); font-size: 14px; font-variant-numeric: tabular-nums; }
main { display: grid; grid-template-columns: minmax(0, 1fr) 340px; gap: 12px; max-width: 1500px; margin: 0 auto; }
#stage { position: relative; align-self: start; }
#picture { display: block; width: 100%; max-height: 86vh; object-fit: contain; background: #000; border-radius: 6px;
  touch-action: none; cursor: crosshair; user-select: none; -webkit-user-select: none; }
#note { position: absolute; left: 8px; right: 8px; bottom: 8px; padding: 8px 12px; border-radius: 6px;
  background: rgb(20 23 26 / 88%); pointer-events: none; }
#note:empty { display: none; }
#note.bad { background: #7a2418; }
nav { display: flex; gap: 8px; }
button { font: inherit; color: inherit; background: var(--raised); border: 1px solid var(--line); border-radius: 6px;
  min-height: 44px; padding: 0 12px; cursor: pointer; touch-action: manipulation; }
nav button { flex: 1; }
button:disabled { opacity: .45; cursor: default; }
button:focus-visible { outline: 3px solid #4fb3ff; outline-offset: 1px; }
button[aria-pressed=true], button.go { background: var(--own); border-color: var(--own); color: #06231a; }
#targets { list-style: none; padding: 0; display: grid; gap: 6px; margin-top: 10px; }
#targets li { display: flex; align-items: center; gap: 8px; background: var(--raised); border-radius: 6px;
  padding: 4px 4px 4px 10px; border-left: 6px solid; }
#targets .what { flex: 1; font-variant-numeric: tabular-nums; }
#help { color: var(--quiet); font-size: 14px; margin: 10px 0; }
figure { background: var(--raised); border-radius: 6px; padding: 8px; }
figcaption { font-size: 13px; color: var(--quiet); margin-bottom: 4px; }
#chart { display: block; width: 100%; }
@media (max-width: 820px) {
  body { padding: 8px; }
  main { grid-template-columns: minmax(0, 1fr); gap: 8px; }
  #picture { max-height: 60vh; }
}
"""

SCRIPT = r"""'use strict';
const byId = id => document.getElementById(id);
const picture = byId('picture'), chart = byId('chart'), pen = picture.getContext('2d');
// Okabe and Ito's palette: told apart without colour vision; states are told by form and word as well.
const LINES = ['#56b4e9', '#e69f00', '#009e73', '#cc79a7', '#f0e442', '#d55e00', '#ffffff', '#0072b2'];
const STATES = {tracking: '#00c882', uncertain: '#e69f00', lost: '#d7d7d7'};
const SLIP = 8;             // pixels of the screen; a shorter drag is a click
const POINTS = 900;         // of the chart
let state = null, image = null, chosen = null, drag = null, lastSize = null, over = false, noteUntil = 0;
let points = [];

const colour = id => LINES[(id - 1) % LINES.length];

function say(text, bad = false, seconds = 5) {
  byId('note').textContent = text;
  byId('note').className = bad ? 'bad' : '';
  noteUntil = text ? performance.now() + 1000 * seconds : 0;
}

async function act(action, more = {}) {
  let reply;
  try {
    reply = await fetch('do', {method: 'POST', headers: {'Content-Type': 'application/json'},
      body: JSON.stringify({action, ...more})});
  } catch (error) {
    say('the tracker cannot be reached', true);
    return false;
  }
  if (reply.ok) return true;
  const answer = await reply.json().catch(() => ({error: `refused (${reply.status})`}));
  say(answer.error, true);
  return false;
}

// ---------------------------------------------------------------- pictures

async function watch() {
  for (let failures = 0; !over;) {
    try {
      const reply = await fetch(`view?after=${state ? state.number : ''}`);
      if (!reply.ok) {
        const answer = await reply.json().catch(() => ({error: `refused (${reply.status})`}));
        throw Object.assign(new Error(answer.error), {fatal: reply.status === 403});
      }
      const news = JSON.parse(reply.headers.get('X-State'));
      if (reply.status === 200) {
        const next = await createImageBitmap(await reply.blob());
        if (image) image.close();
        image = next;
      }
      take(news);
      failures = 0;
    } catch (error) {
      failures += 1;
      if (error.fatal || failures > 4) { end(error.fatal ? error.message : 'the tracker has stopped'); return; }
      byId('facts').textContent = 'connecting …';
      await new Promise(done => setTimeout(done, 250 * failures));
    }
  }
}

function take(news) {
  const fresh = news.size && (!state || news.frame !== state.frame);
  state = news;
  if (fresh && state.targets.length) {
    points.push([state.frame, Object.fromEntries(state.targets.map(t => [t.id, t.score]))]);
    points = points.slice(-POINTS);
  }
  if (state.targets && !state.targets.some(t => t.id === chosen)) chosen = null;
  if (noteUntil && performance.now() > noteUntil) say('');
  requestAnimationFrame(paint);
  if (state.phase === 'over') end(state.message);
}

function end(message) {
  over = true;
  document.querySelectorAll('button').forEach(button => { button.disabled = true; });
  byId('facts').textContent = 'ended';
  say(message, false, 1e6);
}

// ---------------------------------------------------------------- painting

function paint() {
  if (!state || !image) return;
  if (picture.width !== image.width || picture.height !== image.height) {
    picture.width = image.width;
    picture.height = image.height;
  }
  pen.drawImage(image, 0, 0);
  const scale = image.width / state.size[0], unit = picture.width / picture.clientWidth;
  for (const target of state.targets) outline(target, scale, unit);
  if (drag) {
    const [x, y, w, h] = dragged(drag);
    pen.setLineDash([]);
    pen.lineWidth = 2 * unit;
    pen.strokeStyle = '#fff';
    pen.strokeRect(x, y, w, h);
    pen.setLineDash([5 * unit, 5 * unit]);
    pen.strokeStyle = '#000';
    pen.strokeRect(x, y, w, h);
    pen.setLineDash([]);
  }
  if (!over) facts();
  list();
  plot();
}

function outline(target, scale, unit) {
  const [x, y, w, h] = target.box.map(value => value * scale);
  const lost = target.state === 'lost', reach = Math.min(w, h) * 0.2;
  const path = new Path2D();
  if (lost) {
    for (const [cx, cy, dx, dy] of [[x, y, 1, 1], [x + w, y, -1, 1], [x + w, y + h, -1, -1], [x, y + h, 1, -1]]) {
      path.moveTo(cx + dx * reach, cy);
      path.lineTo(cx, cy);
      path.lineTo(cx, cy + dy * reach);
    }
  } else path.rect(x, y, w, h);
  pen.setLineDash(target.state === 'uncertain' ? [7 * unit, 6 * unit] : []);
  for (const [style, width] of [['rgb(24 24 24 / 80%)', 4.5], [STATES[target.state], 2.5]]) {
    pen.strokeStyle = style;
    pen.lineWidth = width * unit * (target.id === chosen ? 1.5 : 1);
    pen.stroke(path);
  }
  pen.setLineDash([]);
  const words = lost ? `${target.id}  lost` : `${target.id}  ${target.score.toFixed(2)}`;
  const size = 13 * unit;
  pen.font = `600 ${size}px system-ui, sans-serif`;
  const width = pen.measureText(words).width + size, height = 1.5 * size;
  const left = Math.max(0, Math.min(x, picture.width - width));
  const top = y - height - 3 * unit >= 0 ? y - height - 3 * unit : Math.min(y + h + 3 * unit, picture.height - height);
  pen.fillStyle = 'rgb(24 24 24 / 82%)';
  pen.fillRect(left, top, width, height);
  pen.fillStyle = colour(target.id);
  pen.fillRect(left, top, 4 * unit, height);
  pen.fillStyle = '#f5f5f5';
  pen.textBaseline = 'middle';
  pen.fillText(words, left + 0.65 * size, top + height / 2);
}

function facts() {
  const none = state.targets.length === 0;
  byId('name').textContent = document.title = state.name;
  byId('facts').textContent = `frame ${state.frame} · ${state.time.toFixed(1)} s` + (
    state.phase === 'loading' ? ' · loading the model …' : state.paused ? ' · paused' : ` · ${state.rate} frames/s`);
  const pause = byId('pause'), pace = byId('pace');
  pause.disabled = byId('stop').disabled = state.phase !== 'tracking';
  pause.textContent = state.paused ? (none ? 'Play' : 'Track') : 'Pause';
  pause.className = state.paused && !none ? 'go' : '';
  pace.hidden = state.realtime === null;
  pace.disabled = false;
  pace.setAttribute('aria-pressed', String(state.realtime === true));
  byId('help').textContent = chosen !== null
    ? `Draw the new box of target ${chosen}, or click on its centre.`
    : none ? 'Draw a box around each target with mouse or finger, then press Track.'
    : 'Draw a box, or click on its centre, to follow another target. Redraw starts one again.';
}

function list() {
  const holder = byId('targets');
  const wanted = state.targets.map(target => target.id).join();
  if (holder.dataset.ids !== wanted) {
    holder.dataset.ids = wanted;
    holder.replaceChildren(...state.targets.map(({id}) => {
      const item = document.createElement('li'), what = document.createElement('span');
      item.style.borderLeftColor = colour(id);
      what.className = 'what';
      const again = document.createElement('button'), drop = document.createElement('button');
      again.textContent = 'Redraw';
      again.onclick = () => { chosen = chosen === id ? null : id; requestAnimationFrame(paint); };
      drop.textContent = '✕';
      drop.setAttribute('aria-label', `stop following target ${id}`);
      drop.onclick = () => act('remove', {id});
      item.append(what, again, drop);
      return item;
    }));
  }
  state.targets.forEach((target, row) => {
    const item = holder.children[row], [what, again] = item.children;
    const text = `${target.id}  ${target.state}` + (target.state === 'lost' ? '' : `  ${target.score.toFixed(2)}`);
    if (what.textContent !== text) what.textContent = text;
    again.setAttribute('aria-pressed', String(chosen === target.id));
  });
}

function plot() {
  const ratio = window.devicePixelRatio || 1, width = Math.round(chart.clientWidth * ratio), height = 120 * ratio;
  if (chart.width !== width || chart.height !== height) { chart.width = width; chart.height = height; }
  const draw = chart.getContext('2d'), left = 26 * ratio, bottom = height - 16 * ratio, top = 5 * ratio;
  const y = score => bottom - score * (bottom - top);
  draw.clearRect(0, 0, width, height);
  draw.font = `${11 * ratio}px system-ui, sans-serif`;
  draw.fillStyle = '#a9b4bc';
  draw.strokeStyle = '#39424a';
  draw.lineWidth = ratio;
  draw.textBaseline = 'middle';
  for (const score of [0, 0.5, 1]) {
    draw.fillText(score.toFixed(1), 0, y(score));
    draw.beginPath();
    draw.moveTo(left, y(score));
    draw.lineTo(width, y(score));
    draw.stroke();
  }
  if (points.length < 2) return;
  const first = points[0][0], last = points[points.length - 1][0];
  const x = frame => left + (frame - first) / Math.max(1, last - first) * (width - left - 2 * ratio);
  draw.textBaseline = 'alphabetic';
  draw.fillText(`frame ${first}`, left, height - 3 * ratio);
  draw.textAlign = 'right';
  draw.fillText(`${last}`, width, height - 3 * ratio);
  draw.textAlign = 'left';
  draw.lineWidth = 1.8 * ratio;
  for (const id of new Set(points.flatMap(([, scores]) => Object.keys(scores)))) {
    draw.strokeStyle = colour(Number(id));
    draw.beginPath();
    let going = false;
    for (const [frame, scores] of points) {
      if (!(id in scores)) { going = false; continue; }
      if (going) draw.lineTo(x(frame), y(scores[id])); else draw.moveTo(x(frame), y(scores[id]));
      going = true;
    }
    draw.stroke();
  }
}

// ---------------------------------------------------------------- drawing

function place(event) {  // the picture may be letterboxed inside its element
  const area = picture.getBoundingClientRect();
  const scale = Math.min(area.width / picture.width, area.height / picture.height);
  const x = (event.clientX - area.left - (area.width - scale * picture.width) / 2) / scale;
  const y = (event.clientY - area.top - (area.height - scale * picture.height) / 2) / scale;
  return [Math.max(0, Math.min(picture.width, x)), Math.max(0, Math.min(picture.height, y))];
}

const dragged = ({from, to}) =>
  [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];

function letGo() {
  if (!drag) return;
  clearInterval(drag.keep);
  drag = null;
  requestAnimationFrame(paint);
}

picture.addEventListener('pointerdown', event => {
  if (!state || !image || over || drag || event.button > 0) return;
  event.preventDefault();
  picture.setPointerCapture(event.pointerId);
  drag = {pointer: event.pointerId, from: place(event), to: place(event)};
  drag.held = act('hold', {on: true});
  drag.keep = setInterval(() => act('hold', {on: true}), 2000);
});

picture.addEventListener('pointermove', event => {
  if (!drag || event.pointerId !== drag.pointer) return;
  drag.to = place(event);
  requestAnimationFrame(paint);
});

picture.addEventListener('pointercancel', event => {
  if (!drag || event.pointerId !== drag.pointer) return;
  letGo();
  act('hold', {on: false});
});

picture.addEventListener('pointerup', async event => {
  if (!drag || event.pointerId !== drag.pointer) return;
  drag.to = place(event);
  const {held} = drag, unit = picture.width / picture.clientWidth, scale = image.width / state.size[0];
  let box = dragged(drag);
  const click = Math.max(box[2], box[3]) < SLIP * unit;
  if (!click && Math.min(box[2], box[3]) < 3) {
    letGo();
    say('that box is too thin', true);
    act('hold', {on: false});
    return;
  }
  const at = drag.to;
  letGo();
  await held;               // the frame waits from now on: what is shown next is what the box is for
  if (click) await new Promise(done => setTimeout(done, 150));
  box = box.map(value => value / scale);
  if (click) {
    const same = state.targets.find(target => target.id === chosen);
    const [w, h] = same ? same.box.slice(2) : lastSize || Array(2).fill(Math.min(...state.size) / 8);
    box = [at[0] / scale - w / 2, at[1] / scale - h / 2, w, h];
  }
  const more = chosen === null ? {} : {id: chosen};
  if (await act('start', {box, frame: state.frame, ...more})) {
    lastSize = box.slice(2);
    chosen = null;
    say(state.paused ? 'Press Track to go on, or draw another target.' : '');
    act('hold', {on: false});
  }                         // refused: the frame waits a few seconds more for another try
});

byId('pause').onclick = () => act('pause', {on: !state.paused});
byId('pace').onclick = () => act('pace', {on: !state.realtime});
byId('stop').onclick = () => { if (confirm('End tracking?')) act('stop'); };
document.addEventListener('keydown', event => {
  if (event.key === ' ' && event.target === document.body && state && state.phase === 'tracking') {
    event.preventDefault();
    act('pause', {on: !state.paused});
  } else if (event.key === 'Escape') {
    chosen = null;
    if (drag) { letGo(); act('hold', {on: false}); }
  }
});
window.addEventListener('resize', () => requestAnimationFrame(paint));

fetch('history').then(reply => reply.ok ? reply.json() : [])
  .then(past => { points = past; }).catch(() => {}).then(watch);
"""
