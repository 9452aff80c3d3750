import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'

import type { Target, Unit } from './bench.ts'
import type { Options } from './options.ts'
import type { Outcome, Row } from './runner.ts'

const HEADER = ['bench', 'figure', 'miolo', 'peer', 'ratio', 'spread', 'target', 'met']
const RIGHT = new Set([2, 3, 4, 5])

/** The rows, as a table in Markdown. */
export function table(rows: Row[]): string {
  const lines = [HEADER, ...rows.map(cells)]
  const widths = HEADER.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  const rendered = lines.map((line) => `| ${line.map(pad(widths)).join(' | ')} |`)
  const rule = widths.map((width, column) =>
    RIGHT.has(column) ? `${'-'.repeat(width + 1)}:` : '-'.repeat(width + 2),
  )
  rendered.splice(1, 0, `|${rule.join('|')}|`)
  return rendered.join('\n')
}

const pad =
  (widths: number[]) =>
  (cell: string, column: number): string =>
    RIGHT.has(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)

function cells(row: Row): string[] {
  const name = [row.bench, row.contest].filter(Boolean).join(' ')
  const figure = figureOf(row)
  const target = row.target === null ? '' : targetOf(row.target, row.unit)
  if (row.result === null) return [name, figure, '–', '–', '–', '–', target, '–']
  const { side, peer, ratio } = row.result
  return [
    name,
    figure,
    amount(side.median, row.unit),
    amount(peer.median, row.unit),
    plain(ratio.median),
    `${plain(ratio.min)}–${plain(ratio.max)}`,
    target,
    row.met === null ? '' : row.met ? 'yes' : 'NO',
  ]
}

/** `≥ 1.5`; with a unit where it is for the value itself. */
function targetOf({ of, is, limit }: Target, unit: Unit): string {
  const signs = { 'at least': '≥', 'at most': '≤', below: '<' }
  return `${signs[is]} ${limit} ${of === 'value' ? unit : ''}`.trimEnd()
}

/** `messages, auto / net`. */
export function figureOf({ figure, side, peer }: Row): string {
  return `${figure}, ${side} / ${peer}`
}

export function plain(value: number): string {
  if (!Number.isFinite(value)) return '–'
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function amount(value: number, unit: Unit): string {
  if (unit === '') return plain(value).replace(/\.00$/, '')
  if (unit === 'µs' && value >= 1e4) return `${plain(value / 1e3)} ms`
  if (unit !== '/s') return `${plain(value)} ${unit}`
  if (value >= 1e6) return `${plain(value / 1e6)} M/s`
  return value >= 1e3 ? `${plain(value / 1e3)} k/s` : `${plain(value)} /s`
}

/** Everything that was measured, and where. */
export interface Report extends Outcome {
  date: string
  commit: string | null
  machine: {
    cpu: string
    cores: number
    memoryMiB: number
    system: string
    node: string
    loadAverage: number[]
  }
  short: boolean
  rounds: number
}

export function reportOf({ short, rounds }: Options, outcome: Outcome): Report {
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    system: `${process.platform} ${process.arch} ${release()}`,
    node: process.version,
    loadAverage: loadavg(),
  }
  return { date: new Date().toISOString(), commit: commit(), machine, short, rounds, ...outcome }
}

export function json(report: Report): string {
  return `${JSON.stringify(report, null, 2)}\n`
}

function commit(): string | null {
  try {
    const git = ['describe', '--always', '--dirty']
    return execFileSync('git', git, { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim()
  } catch {
    return null
  }
}
