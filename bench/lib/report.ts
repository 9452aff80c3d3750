import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'

import type { Unit } from './bench.ts'
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
  const figure = `${row.figure}, ${row.side} / ${row.peer}`
  const limits = { 'at least': '≥', 'at most': '≤', below: '<' }
  const target = row.target === null ? '' : `${limits[row.target.is]} ${row.target.limit}`
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

function plain(value: number): string {
  if (!Number.isFinite(value)) return '–'
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function amount(value: number, unit: Unit): string {
  if (unit === '') return plain(value).replace(/\.00$/, '')
  if (unit !== '/s') return `${plain(value)} ${unit}`
  if (value >= 1e6) return `${plain(value / 1e6)} M/s`
  return value >= 1e3 ? `${plain(value / 1e3)} k/s` : `${plain(value)} /s`
}

/** Everything that was measured, and where. */
export function json(options: Options, outcome: Outcome): string {
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    system: `${process.platform} ${process.arch} ${release()}`,
    node: process.version,
    loadAverage: loadavg(),
  }
  const { short, rounds } = options
  return `${JSON.stringify({ date: new Date(), commit: commit(), machine, short, rounds, ...outcome }, null, 2)}\n`
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
