"""The style sheet of a page: light, dark, narrow, printed."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #59636e; --line: #d8dee4;
  --paper: #ffffff; --stripe: #f5f7f9; --lead: #eef4fb; --mark: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --quiet: #9aa4af;
  --line: #363d46; --paper: #15191e; --stripe: #1d2228; --lead: #1a2733;
  --mark: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2.5rem 1.25rem 4rem;
  color: var(--ink); background: var(--paper); font: 16px/1.55 system-ui,
  -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: break-word; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: 1.2rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
p { max-width: 46rem; margin: .6rem 0; }
.lead { background: var(--lead); border-left: 4px solid var(--mark); margin: 1rem 0;
  padding: .5rem 1.1rem; }
.lead p:first-child { font-size: 1.15rem; font-weight: 600; line-height: 1.4; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; }
figcaption { color: var(--quiet); font-size: .88rem; padding-top: .5rem;
  max-width: 46rem; }
th, td { padding: .35rem .9rem; text-align: left; white-space: nowrap; }
thead th { border-bottom: 2px solid var(--line); font-weight: 600;
  vertical-align: bottom; }
th small { display: block; color: var(--quiet); font-weight: 400; }
tbody th { font-weight: 400; position: sticky; left: 0; background: var(--paper); }
tbody th, tbody td { border-bottom: 1px solid var(--line); }
tbody tr:nth-child(even) th, tbody tr:nth-child(even) td { background: var(--stripe); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr;
  gap: .15rem 1.2rem; font-size: .92rem; margin: .8rem 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1.2rem 0; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.row figure { margin: .4rem 0; min-width: 0; flex: 1 1 26rem; max-width: 100%; }
.row.medium figure { flex-basis: 18rem; }
.row.small figure { flex-basis: 10rem; max-width: 16rem; }
/* Plots keep their white paper on a dark screen, where black lines would vanish. */
.plot { background: #ffffff; border-radius: 6px; padding: .75rem; overflow-x: auto;
  border: 1px solid var(--line); text-align: center; }
.plot svg, .photo img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.photo img { width: 100%; border-radius: 4px; }
details { margin: 1rem 0; }
summary { cursor: pointer; font-weight: 600; }
@media (max-width: 40rem) { body { padding: 1.2rem .8rem 2rem; }
  h1 { font-size: 1.45rem; } th, td { padding: .3rem .5rem; }
  table { font-size: .85rem; } .plot { padding: .25rem; }
  tbody th { max-width: 9rem; white-space: normal; } }
@media print { :root { color-scheme: light; --ink: #000000; --quiet: #444444;
  --line: #bbbbbb; --paper: #ffffff; --stripe: #ffffff; --lead: #ffffff;
  --mark: #000000; }
  @page { margin: 15mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  h1, h2, h3, summary { break-after: avoid; } h2 { margin-top: 1.4rem; }
  figure, tr, .lead { break-inside: avoid; } .data { break-inside: auto; }
  .table { overflow: visible; }
  table { font-size: 7.5pt; } th, td { padding: .15rem .35rem; }
  tbody th { position: static; }
  .row { display: block; }
  .row figure { display: inline-block; vertical-align: top; width: 48%; }
  .row.medium figure { width: 32%; } .row.small figure { width: 23%; } }
"""
