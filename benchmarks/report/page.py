"""Looks and behaviour of the report's page: style sheet and script, both inline, so that it works from a disk."""

STYLE = """
:root { color-scheme: light dark; --paper: #fdfcfb; --ink: #1a1b1c; --quiet: #5d6063; --line: #dcdad6; --tint: #0072b2;
  --blue: #0072b2; --panel: #f4f2ef; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181a; --ink: #e6e4e0; --quiet: #a0a3a6; --line: #34383b;
  --tint: #56b4e9; --blue: #3a93d8; --panel: #1f2225; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(.9rem, 3vw, 2.5rem) 4rem; max-width: 84rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: clamp(1.5rem, 4vw, 2.1rem); line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p, ul { max-width: 50rem; }
ul { padding-left: 1.2rem; }
li { overflow-wrap: anywhere; }
a { color: var(--tint); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .8rem 0; font-size: .9rem; }
.quiet, small, figcaption { color: var(--quiet); font-size: .85rem; }
small { display: block; font-size: .72rem; white-space: nowrap; }
.scroll { overflow: auto; max-height: 85vh; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; font-size: .88rem;
  min-width: 100%; }
th, td { padding: .35rem .65rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); z-index: 1; }
thead th { position: sticky; top: 0; background: var(--panel); z-index: 2; vertical-align: bottom; }
thead th:first-child { background: var(--panel); z-index: 3; }
tbody th { font-weight: 400; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--tint); outline-offset: 2px; }
th button:hover { color: var(--tint); }
th[aria-sort=ascending] button::after { content: "\\2191"; }
th[aria-sort=descending] button::after { content: "\\2193"; }
tr.main > th { font-weight: 700; }
tr.main > :not(.shade) { background: var(--panel); }
td.shade { background: color-mix(in srgb, var(--tint) calc(var(--v) * 45%), transparent); }
.first { font-weight: 700; } .second { text-decoration: underline; } .third { font-style: italic; }
.swatch { display: inline-block; vertical-align: middle; margin-right: .5em; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.2rem; }
.plots figure, .wide { margin: 0; min-width: 0; }
.wide { overflow-x: auto; }
figure > svg { display: block; width: 100%; height: auto; margin: 0 auto; }
.wide > svg { min-width: 40rem; }
.strip { display: flex; gap: .5rem; overflow-x: auto; padding-bottom: .4rem; }
.strip figure { margin: 0; flex: 1 0 13rem; max-width: 18rem; }
.strip img { display: block; width: 100%; height: auto; border-radius: 3px; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; padding: 0; max-width: none;
  font-size: .88rem; }
.legend .main { background: #3a3d40; padding: 4px 0; height: 14px; border-radius: 2px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .6rem 0; font-size: .9rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; margin: .8rem 0; }
@media print { .scroll { max-height: none; } nav { display: none; } }
"""

# Click on a column's head: numbers fall first, words rise first; cells without a value stay at the end.
SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const head = button.parentElement, body = head.closest("table").tBodies[0];
  const words = head.cellIndex === 0, before = head.ariaSort;
  const up = before ? before === "descending" : words;
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = row => { const cell = row.cells[head.cellIndex];
    return words ? cell.textContent.toLowerCase() : cell.dataset.v === undefined ? NaN : Number(cell.dataset.v); };
  const order = (a, b) => words ? a.localeCompare(b, undefined, {numeric: true}) * (up ? 1 : -1)
    : isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : (a - b) * (up ? 1 : -1);
  body.append(...[...body.rows].sort((a, b) => order(value(a), value(b))));
};
"""
