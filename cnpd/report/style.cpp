#include "cnpd/report/sections.h"

namespace cnpd::report {

// Must be valid inside XML: no "<" and no "&". A test computes the contrast of the colours: text
// has at least 4.5:1, and bars, lines and edges have at least 3:1, in both schemes.
const char* const style_sheet = R"css(
:root {
  color-scheme: light dark;
  --paper: #fdfcfa; --ink: #1b1d21; --soft: #5f636b; --line: #e5e1da; --wash: #f4f1ec;
  --track: #ece8e1; --faint: #7f8185;
  --attack: #bd3b24; --attack-wash: #fbe9e4; --defense: #17708f; --defense-wash: #e2f0f4;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --ink: #e9e7e2; --soft: #9fa3ab; --line: #2c3037; --wash: #1c1f25;
    --track: #292d34; --faint: #8a8f98;
    --attack: #ff7d60; --attack-wash: #3a211c; --defense: #5fbfdc; --defense-wash: #16303a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
main { max-width: 1128px; margin: 0 auto; padding: 72px 24px 96px; }
h1 { font-size: 15px; font-weight: 650; margin: 0; }
h2 { font-size: 24px; line-height: 1.25; font-weight: 650; letter-spacing: -0.015em; margin: 0 0 6px; }
h3 { font-size: 14px; font-weight: 650; margin: 0 0 12px; }
h4 { font-size: 13px; font-weight: 500; color: var(--soft); margin: 0 0 6px; }
p { margin: 0; }
section { margin-top: 88px; }
.seen { max-width: 70ch; color: var(--soft); margin-bottom: 28px; }
.subtitle { color: var(--soft); font-size: 15px; }
.verdict {
  font-size: clamp(25px, 3.6vw, 38px); line-height: 1.28; letter-spacing: -0.022em; font-weight: 350;
  max-width: 30em; margin: 44px 0 56px; text-wrap: balance; overflow-wrap: break-word;
  font-variant-numeric: normal;
}
.verdict { margin-bottom: 14px; font-weight: 500; }
.numbers { max-width: 70ch; font-size: 17px; margin-bottom: 52px; }
.attack { color: var(--attack); }
.defense { color: var(--defense); }

.track {
  display: block; background: var(--track); height: 6px; border-radius: 3px; overflow: hidden;
  min-width: 24px;
}
.bar { display: block; height: 100%; border-radius: 3px; background: var(--faint); }
.bar.attack { background: var(--attack); }
.bar.defense { background: var(--defense); }
.number { font-size: 13px; text-align: right; white-space: nowrap; }

.tiles { display: grid; grid-template-columns: repeat(3, 1fr); gap: 0 48px; }
.tile { border-top: 1px solid var(--ink); padding-top: 14px; }
.tile h3 { margin: 0; letter-spacing: 0.02em; }
.big { font-size: 52px; line-height: 1.15; letter-spacing: -0.035em; font-weight: 300;
  margin-top: 6px; font-variant-numeric: normal;
}
.meaning { color: var(--soft); font-size: 14px; margin-bottom: 16px; }
.bar-row {
  display: grid; grid-template-columns: 46px 1fr 60px; gap: 10px; align-items: center;
  margin-top: 4px; font-size: 13px;
}
.who { color: var(--soft); }

.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
.results { width: 100%; min-width: 560px; }
.results th, .results td { padding: 11px 0 11px 24px; text-align: right; white-space: nowrap; }
.results th:first-child { text-align: left; padding-left: 12px; font-weight: 500; white-space: normal;
  overflow-wrap: break-word; min-width: 9em; }
.results td:last-child, .results th:last-child { padding-right: 12px; }
.results thead th { font-size: 13px; font-weight: 500; color: var(--soft); padding-bottom: 8px; }
.results tbody tr { border-top: 1px solid var(--line); }
.results tbody tr:last-child { border-bottom: 1px solid var(--line); }
.results .victim { color: var(--soft); }
.results .highlight { background: var(--defense-wash); }
.results .highlight th, .results .highlight td { font-weight: 650; }
.results .track { display: inline-block; vertical-align: middle; width: 90px; margin-right: 4px; }
.results .value { display: inline-block; min-width: 76px; }

.pixels { image-rendering: pixelated; display: block; height: auto; background: var(--wash); }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 52px 64px; }
.example { break-inside: avoid; min-width: 0; }
.example h3 { display: flex; gap: 8px; align-items: baseline; font-size: 16px; flex-wrap: wrap; }
.arrow { color: var(--soft); }
.badges { margin-left: auto; }
.badge {
  font-size: 12px; font-weight: 500; padding: 2px 8px; border-radius: 10px; background: var(--wash);
  color: var(--soft); white-space: nowrap;
}
.badge.attack { background: var(--attack-wash); color: var(--attack); }
.badge.defense { background: var(--defense-wash); color: var(--defense); }
.strip { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; }
figure { margin: 0; }
.framed { display: block; position: relative; border: 1px solid var(--faint); border-radius: 3px; }
.ring {
  position: absolute; border: 2px solid var(--attack); border-radius: 3px;
  box-shadow: 0 0 0 1px #fff, inset 0 0 0 1px #fff;
}
figure .pixels { width: 100%; border-radius: 3px; }
figcaption { font-size: 13px; color: var(--soft); margin-top: 5px; }
.said { display: grid; grid-template-columns: 1fr 1fr; gap: 24px; margin-top: 14px; }
.guesses { min-width: 0; }
.guess {
  display: grid; grid-template-columns: minmax(76px, 1.1fr) minmax(24px, 1fr) 50px; gap: 8px; align-items: center;
  font-size: 13px; line-height: 1.7; color: var(--soft);
}
.guess.attack { color: var(--attack); }
.guess.defense { color: var(--defense); }
.name { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.name:focus, .name:hover { white-space: normal; overflow: visible; overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--defense); outline-offset: 2px; }

.columns { display: grid; grid-template-columns: 1.7fr 1fr; gap: 48px 72px; align-items: start; }
.columns > :only-child { grid-column: 1 / -1; max-width: 720px; }
.pair { display: grid; grid-template-columns: 104px 1fr 1fr; gap: 20px; font-size: 14px; line-height: 1.85; }
.pair.single { grid-template-columns: 104px 1fr; }
.pair.head { font-size: 13px; color: var(--soft); }
.cell { display: grid; grid-template-columns: 1fr 54px; gap: 8px; align-items: center; }
.rate { display: grid; grid-template-columns: 1fr 60px; gap: 0 10px; align-items: center; font-size: 14px; margin-bottom: 12px; }
.rate .name { grid-column: 1 / -1; white-space: normal; }
.detection .chart { margin-top: 28px; max-width: 400px; }

.matrices { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 40px 48px; margin-top: 48px; }
.matrix { min-width: 0; break-inside: avoid; }
.confusion { width: 100%; table-layout: fixed; font-size: 12px; }
.confusion th { font-weight: 400; color: var(--soft); padding: 3px 4px; }
.confusion th:first-child { width: 108px; text-align: left; }
.confusion thead th.attack { color: var(--attack); font-weight: 650; }
.confusion td {
  text-align: center; padding: 3px 0; height: 26px; border: 1px solid var(--line); overflow-wrap: normal;
  background: color-mix(in srgb, var(--defense) calc(var(--s) * 45%), var(--paper)); color: var(--ink);
}
.confusion td.attack { background: color-mix(in srgb, var(--attack) calc(var(--s) * 45%), var(--paper)); }
.confusion td.diagonal { box-shadow: inset 0 0 0 1px var(--faint); }
.heat .pixels { width: 100%; border: 1px solid var(--faint); }
.confused { margin: 12px 0 0; padding-left: 20px; font-size: 14px; }
.values { margin-top: 10px; font-size: 13px; color: var(--soft); }
.values summary { cursor: pointer; width: max-content; padding: 4px 0; }
.values table { margin-top: 6px; }
.values th, .values td { padding: 2px 14px 2px 0; text-align: right; font-weight: 400; white-space: nowrap; color: var(--ink); }
.values .scroll { max-height: 300px; overflow: auto; }

.pipeline { display: flex; gap: 30px; margin-bottom: 44px; }
.box {
  flex: 1; position: relative; border: 1px solid var(--line); border-radius: 6px; padding: 10px 14px;
  min-width: 0; line-height: 1.35;
}
.box b { display: block; font-size: 14px; font-weight: 600; }
.box small { color: var(--soft); font-size: 12.5px; }
.box + .box::before {
  content: "\2192"; position: absolute; left: -24px; top: 50%; transform: translateY(-50%);
  color: var(--soft);
}
.box.polarizer { border-color: var(--defense); background: var(--defense-wash); flex: 1.35; }
.box.polarizer b { color: var(--defense); }
.maps { width: 100%; table-layout: fixed; }
.maps th { font-size: 13px; font-weight: 400; color: var(--soft); text-align: left; padding: 0; width: 74px; }
.maps thead th + th { width: auto; text-align: center; }
.maps td { padding: 3px; }
.maps th { overflow-wrap: normal; }
.maps td .pixels { width: 100%; border-radius: 2px; }
.group th > span { vertical-align: middle; font-size: 14px; font-weight: 500; color: var(--ink); }
.group th { padding: 20px 0 8px; }
.group .pixels { display: inline-block; vertical-align: middle; width: 40px; border-radius: 2px; margin-right: 12px; }
.legends { display: flex; flex-wrap: wrap; gap: 10px 40px; margin-top: 22px; }
.legend { display: inline-flex; align-items: center; gap: 8px; font-size: 13px; color: var(--soft); }
.legend .pixels { width: 140px; height: 10px; border-radius: 2px; image-rendering: auto; }
.fact { margin-top: 22px; max-width: 70ch; }

.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); gap: 28px 36px; margin-bottom: 44px; }
.plot { min-width: 0; break-inside: avoid; }
.chart { display: block; width: 100%; height: auto; font-size: 11.5px; overflow: visible; }
.chart text { fill: var(--soft); }
.missing { font-weight: 700; font-size: 14px; }
.chart .missing.attack { fill: var(--attack); } .chart .missing.defense { fill: var(--defense); }
.chart .heading { fill: var(--ink); font-size: 13px; }
.grid { stroke: var(--line); }
.axis { stroke: var(--soft); }
.line { fill: none; stroke: var(--faint); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.dot { fill: var(--faint); }
.line.attack { stroke: var(--attack); } .line.defense { stroke: var(--defense); } .line.plain { stroke: var(--ink); }
.dot.attack { fill: var(--attack); } .dot.defense { fill: var(--defense); } .dot.plain { fill: var(--ink); }
.chart .label { font-weight: 600; font-size: 12px; }
.chart .label.attack { fill: var(--attack); } .chart .label.defense { fill: var(--defense); } .chart .label.plain { fill: var(--ink); }
.dash-1 { stroke-dasharray: 7 4; }
.dash-2 { stroke-dasharray: 2 4; }
.dash-3 { stroke-dasharray: 9 3 2 3; }
.target { fill: transparent; }
.point { outline: none; }
.chart .tip { visibility: hidden; fill: var(--ink); font-weight: 600; font-size: 12px; }
.point:hover .tip, .point:focus .tip { visibility: visible; }
.point:hover .target, .point:focus .target { fill: var(--ink); fill-opacity: 0.4; stroke: var(--ink); stroke-dasharray: none; }

dl { margin: 0; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 20px 32px; margin-bottom: 36px; }
pre {
  background: var(--wash); border-radius: 6px; padding: 16px 18px; margin: 0; overflow-x: auto;
  font: 13.5px/1.65 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
.glossary { margin-top: 20px; columns: 2; column-gap: 64px; font-size: 14px; }
.glossary div { break-inside: avoid; padding-bottom: 12px; }
.glossary dt { color: var(--ink); font-weight: 600; font-size: 14px; }
.glossary dd { color: var(--soft); }

@media screen and (max-width: 900px) {
  .columns, .matrices { grid-template-columns: minmax(0, 1fr); gap: 36px; }
  .tiles { gap: 0 28px; }
  .said { gap: 14px; }
  .guess { grid-template-columns: minmax(60px, 1.1fr) minmax(24px, 1fr) 50px; }
  .results { min-width: 0; display: block; }
  .results thead { display: none; }
  .results tbody { display: block; }
  .results tbody tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); gap: 8px 16px; padding: 12px; }
  .results th:first-child { grid-column: 1 / -1; padding: 0; font-weight: 650; }
  .results td, .results td:last-child { padding: 0; text-align: left; white-space: nowrap; }
  .results td::before { content: attr(data-name); display: block; font-size: 12px; font-weight: 400; color: var(--soft); }
  .results .value { min-width: 0; }
  .results .track { width: 50px; }
}
@media screen and (max-width: 760px) {
  main { padding: 36px 18px 64px; }
  section { margin-top: 64px; }
  .verdict { margin: 28px 0 12px; }
  .numbers { margin-bottom: 36px; }
  .tiles, .charts { grid-template-columns: minmax(0, 1fr); gap: 36px; }
  .confusion { font-size: 11px; }
  .confusion th:first-child { width: 72px; }
  .confusion th { padding: 2px; }
  .examples { gap: 48px; }
  .said { gap: 18px; }
  .guess { grid-template-columns: 1fr 48px; gap: 0 6px; line-height: 1.5; margin-bottom: 4px; }
  .guess .name { grid-column: 1 / -1; }
  .pair { grid-template-columns: 76px 1fr 1fr; gap: 10px; font-size: 13px; }
  .pair.single { grid-template-columns: 76px 1fr; }
  .cell { grid-template-columns: 1fr 48px; gap: 6px; }
  .pipeline { flex-direction: column; gap: 26px; }
  .box + .box::before { content: "\2193"; left: 50%; top: -25px; transform: none; }
  .maps, .maps thead, .maps tbody { display: block; }
  .maps tr { display: grid; grid-template-columns: 50px repeat(6, minmax(0, 1fr)); align-items: center; }
  .maps th, .maps thead th + th { width: auto; }
  .maps .group th { grid-column: 1 / -1; }
  .maps tr > :nth-child(n + 8) { display: none; }
  .glossary { columns: 1; }
}
@media print {
  body { font-size: 12px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  .verdict { font-size: 26px; margin: 28px 0 10px; }
  .numbers { font-size: 13px; margin-bottom: 28px; }
  .values { display: none; }
  .charts { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 20px; }
  .confusion { font-size: 9px; }
  .confusion th:first-child { width: 84px; }
  .matrices { gap: 24px; margin-top: 24px; }
  .big { font-size: 36px; }
  .examples { grid-template-columns: 1fr 1fr; gap: 32px; }
  .said { gap: 14px; }
  .guess { grid-template-columns: 1fr 1fr 44px; gap: 6px; font-size: 10px; }
  .number { font-size: 11px; }
  .scroll { overflow: visible; }
  .results { min-width: 0; font-size: 10px; }
  .results thead th { font-size: 10px; white-space: normal; }
  .results th:first-child { min-width: 7em; }
  .results .track { width: 32px; }
  .results .value { min-width: 44px; }
  .results th, .results td { padding: 6px 0 6px 8px; }
  .columns { gap: 32px; }
  .cell, .pair { gap: 8px; }
  section { margin-top: 40px; }
  h2, h3, .seen { break-after: avoid; }
  .tile, tr, .maps tbody, .seen, .charts, .distribution, .detection { break-inside: avoid; }
  pre { white-space: pre-wrap; }
}
)css";

}  // namespace cnpd::report
