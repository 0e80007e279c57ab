"""The styles of a page: its colours in light and dark are variables, which the charts use as well."""

TEXT = r""":root {
  color-scheme: light dark;
  --page: #ffffff; --surface: #f5f6f8; --ink: #1b1f24; --muted: #59636f; --grid: #e2e5e9; --border: #c9cfd6;
  --link: #0b5cad; --focus: #0b5cad;
  --series-1: #0b62a8; --series-2: #b5460f; --series-3: #1b7f5c; --series-4: #8e3b8a;
  --series-5: #806200; --series-6: #3f6c8f; --series-7: #b0305c; --series-8: #4d4d4d;
  --download: #2e86c1; --compute: #1f4e79; --upload: #b9770e; --wait: #868f9a; --lost: #c0270d;
  --measured: #1b6e4f; --published: #0b5cad; --scaled: #7a5a00; --assumed: #a3380f;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --surface: #1d2127; --ink: #e8eaed; --muted: #a5afba; --grid: #2b3138; --border: #444c56;
    --link: #7fbcf5; --focus: #9accff;
    --series-1: #6cb4f0; --series-2: #f0905a; --series-3: #5cc9a0; --series-4: #d28fd0;
    --series-5: #d9b84a; --series-6: #9cc3df; --series-7: #f083a6; --series-8: #bdbdbd;
    --download: #7cc4f5; --compute: #3e8ed0; --upload: #f0b34a; --wait: #6f7985; --lost: #ff7a66;
    --measured: #6fd3ab; --published: #7fbcf5; --scaled: #e0c060; --assumed: #ffa07a;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: auto; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 1.5rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 0 0 .75rem; padding-top: 1rem; border-top: 1px solid var(--border); }
.kind { margin: 0; color: var(--muted); font-size: .875rem; }
.lead { margin: .5rem 0 1rem; color: var(--muted); overflow-wrap: anywhere; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; margin: 0 0 1rem; padding: 0; font-size: .875rem; }
a { color: var(--link); }
a, button, select, summary { touch-action: manipulation; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; border-radius: 2px; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: .5rem; top: .5rem; background: var(--page); padding: .5rem; }
section { margin-bottom: 2rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(11.5rem, 1fr)); gap: .75rem; margin: 0 0 1rem; }
.tiles > div { background: var(--surface); border-radius: .5rem; padding: .6rem .8rem; }
.tiles dt { color: var(--muted); font-size: .8125rem; }
.tiles dd { margin: 0; font-size: 1.2rem; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.tiles small { display: block; font-size: .8125rem; font-weight: 400; color: var(--muted); }
.levels { font-weight: 400; white-space: nowrap; }
.level { display: inline-block; font-size: .75rem; line-height: 1.3; padding: 0 .35rem; margin-right: .2rem;
  border: 1px solid currentColor; border-radius: .6rem; vertical-align: .1em; }
.measured { color: var(--measured); } .published { color: var(--published); }
.scaled { color: var(--scaled); } .assumed { color: var(--assumed); }
.note { border-left: 4px solid var(--upload); background: var(--surface); padding: .5rem .75rem; }
figure { margin: 0 0 1.5rem; }
figcaption { color: var(--muted); font-size: .875rem; margin-top: .25rem; }
.chart, .canvas { width: 100%; }
.chart { overflow-x: auto; }
.chart svg { touch-action: pan-y; max-width: 100%; }
.canvas.vega-embed { display: block; }
.chooser { border: 0; padding: 0; margin: 0 0 .75rem; display: flex; flex-wrap: wrap; gap: .4rem; }
.chooser legend { float: left; padding: .25rem .5rem .25rem 0; color: var(--muted); font-size: .875rem; }
.chooser input { position: absolute; opacity: 0; }
.chooser span, button, select { display: inline-block; font: inherit; font-size: .875rem; color: var(--ink); background: var(--surface);
  border: 1px solid var(--muted); border-radius: .4rem; padding: .25rem .6rem; }
.chooser span, button { cursor: pointer; }
.chooser input:checked + span { background: var(--link); color: var(--page); border-color: var(--link); }
.chooser input:focus-visible + span { outline: 3px solid var(--focus); outline-offset: 2px; }
.steps { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; font-size: .875rem; }
.why { min-height: 3em; margin: .5rem 0; }
.wide { overflow-x: auto; margin-bottom: 1rem; }
table { border-collapse: collapse; font-size: .875rem; width: 100%; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
caption small { display: block; max-width: min(58rem, calc(100vw - 1.6rem)); font-weight: 400; color: var(--muted); }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--grid); vertical-align: top; }
tbody th { font-weight: 500; white-space: nowrap; }
th.figure, td.figure { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
details { margin-bottom: 1rem; }
summary { cursor: pointer; padding: .25rem 0; color: var(--link); font-size: .875rem; }
pre { background: var(--surface); padding: .75rem; border-radius: .5rem; overflow-x: auto; font-size: .8125rem; line-height: 1.45; max-height: 32rem; }
.code-title { margin: 0; font-weight: 600; font-size: .875rem; }
footer { color: var(--muted); font-size: .8125rem; padding-bottom: 2rem; }
#vg-tooltip-element { background: var(--surface) !important; color: var(--ink) !important; border: 1px solid var(--border) !important;
  font: .8125rem/1.4 system-ui, sans-serif !important; max-width: 24rem; }
#vg-tooltip-element table tr td.key { color: var(--muted) !important; }
#vg-tooltip-element td { border: 0; white-space: normal; max-width: 18rem; }
@media (max-width: 30rem) {
  main, footer { padding: 0 .8rem; }
  h1 { font-size: 1.4rem; }
  .tiles { grid-template-columns: 1fr 1fr; gap: .5rem; }
  .tiles dd { font-size: 1.05rem; }
  tbody th { white-space: normal; min-width: 6.5rem; }
}
@media print {
  body { font-size: 10pt; }
  nav, .skip, .steps, .chooser, noscript { display: none; }
  figure, table, .tiles > div { break-inside: avoid; }
  h2 { break-after: avoid; }
  pre { max-height: none; white-space: pre-wrap; }
  .wide, .chart { overflow: visible; }
}
"""
