#!/usr/bin/env python3
"""Draws docs/images/results.svg: accuracy lost against attack success rate, for every defense.

    bench/plot_results.py [--out FILE]

Reads bench/results/cpu/defenses_cifar10_w16.csv and defenses_gtsrb_w8.csv, the results.csv files of
bench/tables.py. One panel for each data set and attack; points are means over the seeds, bars their
standard deviations. The ASR axis is linear from 0 to 1 % and logarithmic above.
"""

import argparse
import csv
import html
import math
import pathlib
import statistics

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATASETS = [("CIFAR-10", "defenses_cifar10_w16.csv"), ("GTSRB", "defenses_gtsrb_w8.csv")]
ATTACKS = [("badnets", "BadNets", (-1.5, 4.5)), ("blended", "Blended", (-1.5, 4.5)),
           ("sig", "SIG", (-6, 3.5))]  # with the limits of the ACC axis
# Name, label, colour (Okabe and Ito's palette), shape of the marker.
METHODS = [("victim", "victim, not defended", "#000000", "cross"),
           ("ft", "ft", "#b07a00", "square"),
           ("npd", "npd", "#56b4e9", "diamond"),
           ("npd-random", "npd, random targets", "#56b4e9", "open diamond"),
           ("r-cnpd", "r-cnpd", "#0072b2", "circle"),
           ("ensemble", "ensemble", "#009e73", "open circle"),
           ("e-cnpd", "e-cnpd", "#cc79a7", "triangle"),
           ("a-cnpd", "a-cnpd", "#d55e00", "open triangle")]
GOAL_ASR, GOAL_LOST = 5, 3

WIDTH, LEFT, TOP, GAP = 800, 62, 92, 20
PANEL_WIDTH, PANEL_HEIGHT, ROW = 232, 210, 262
HEIGHT = TOP + 2 * ROW + 2


def mean_and_deviation(values):
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def read(path):
    """{(attack, method): ((lost, deviation), (asr, deviation))}"""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    accuracy = {(row["attack"], row["seed"]): float(row["acc"]) for row in rows if row["method"] == "victim"}
    points = {}
    for key in {(row["attack"], row["method"]) for row in rows}:
        runs = [row for row in rows if (row["attack"], row["method"]) == key]
        lost = [accuracy[row["attack"], row["seed"]] - float(row["acc"]) for row in runs]
        points[key] = mean_and_deviation(lost), mean_and_deviation([float(row["asr"]) for row in runs])
    return points


def height_of(asr):
    """0 at an ASR of 0 %, 1 at 100 %."""
    return (asr if asr <= 1 else 1 + math.log10(asr)) / 3


def marker(shape, x, y, colour):
    fill = "none" if shape.startswith("open") else colour
    style = f'fill="{fill}" stroke="{colour}" stroke-width="1.8"'
    shape = shape.removeprefix("open ")
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" {style}/>'
    if shape == "square":
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" {style}/>'
    if shape == "cross":
        return (f'<path d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10" fill="none" '
                f'stroke="{colour}" stroke-width="2.2"/>')
    corners = {"diamond": "l5.5 5.5l-5.5 5.5l-5.5 -5.5z", "triangle": "l5.5 9.5h-11z"}[shape]
    return f'<path d="M{x:.1f} {y - 5.5:.1f}{corners}" {style}/>'


def text(x, y, words, anchor="start", size=13, more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {more}>'
            f"{html.escape(words)}</text>")


def line(x1, y1, x2, y2, colour, width=1.0):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>')


def panel(points, attack, title, limits, left, top, first):
    low, high = limits

    def across(lost):
        return left + (lost - low) / (high - low) * PANEL_WIDTH

    def down(asr):
        return top + PANEL_HEIGHT - 12 - height_of(max(0.0, min(100.0, asr))) * (PANEL_HEIGHT - 24)

    bottom = top + PANEL_HEIGHT
    parts = [f'<rect x="{left}" y="{top}" width="{PANEL_WIDTH}" height="{PANEL_HEIGHT}" fill="#ffffff"/>',
             f'<rect x="{left}" y="{down(GOAL_ASR):.1f}" width="{across(GOAL_LOST) - left:.1f}" '
             f'height="{bottom - down(GOAL_ASR):.1f}" fill="#eaf3ea"/>']
    for asr in (0, 1, 5, 10, 50, 100):
        parts.append(line(left, down(asr), left + PANEL_WIDTH, down(asr), "#dddddd"))
        if first:
            parts.append(text(left - 6, down(asr) + 4, str(asr), "end", 12))
    for lost in range(math.ceil(low), math.floor(high) + 1):
        if high - low > 7 and lost % 2:
            continue
        parts.append(line(across(lost), top, across(lost), bottom, "#dddddd"))
        parts.append(text(across(lost), bottom + 15, str(lost).replace("-", "−"), "middle", 12))
    parts.append(line(across(0), top, across(0), bottom, "#888888"))
    parts.append(f'<rect x="{left}" y="{top}" width="{PANEL_WIDTH}" height="{PANEL_HEIGHT}" fill="none" '
                 'stroke="#666666"/>')
    parts.append(text(left + PANEL_WIDTH / 2, top - 8, title, "middle", 14, 'font-weight="bold"'))
    bars, markers = [], []
    for name, _, colour, shape in METHODS:
        (lost, lost_deviation), (asr, asr_deviation) = points[attack, name]
        x, y = across(lost), down(asr)
        bars.append(line(across(lost - lost_deviation), y, across(lost + lost_deviation), y, colour, 1.3))
        bars.append(line(x, down(asr - asr_deviation), x, down(asr + asr_deviation), colour, 1.3))
        markers.append(marker(shape, x, y, colour))
    return parts + bars + markers


def legend():
    parts = []
    for index, (_, label, colour, shape) in enumerate(METHODS):
        x = LEFT + 10 + (0, 195, 375, 560)[index % 4]
        y = 20 + 24 * (index // 4)
        parts += [marker(shape, x, y, colour), text(x + 12, y + 5, label)]
    return parts


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "bench/results/cpu",
                        help="folder of the two .csv files")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/images/results.svg")
    chosen = parser.parse_args()

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
             f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="DejaVu Sans, Verdana, sans-serif" fill="#222222">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fafafa"/>', *legend()]
    for row, (dataset, file) in enumerate(DATASETS):
        points = read(chosen.results / file)
        top = TOP + row * ROW
        for column, (attack, name, limits) in enumerate(ATTACKS):
            left = LEFT + column * (PANEL_WIDTH + GAP - 5)
            parts += panel(points, attack, f"{dataset}, {name}", limits, left, top, column == 0)
        middle = top + PANEL_HEIGHT / 2
        parts.append(text(20, middle, "ASR, %", "middle", 13, f'transform="rotate(-90 20 {middle:.0f})"'))
    below = f"ACC lost, points (green: ASR at most {GOAL_ASR} %, ACC lost at most {GOAL_LOST})"
    parts.append(text(LEFT + (3 * PANEL_WIDTH + 2 * GAP) / 2, HEIGHT - 12, below, "middle"))
    chosen.out.write_text("\n".join(parts) + "\n</svg>\n")


if __name__ == "__main__":
    main()
