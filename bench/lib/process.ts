import { readFileSync } from 'node:fs'

const TICKS_PER_SECOND = 100

/** Why other processes cannot be looked at; null: they can. */
export function hidden(): string | null {
  return process.platform === 'linux' ? null : 'the memory of a process is only told on Linux'
}

/** The resident set of a process, in bytes. */
export function resident(pid: number): number {
  const match = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  if (match === null) throw new Error(`process ${pid} has no memory any more`)
  return Number(match[1]) * 1024
}

/** The CPU time that a process has used, all its threads included, in seconds, to the hundredth; NaN: not told. */
export function cpuSeconds(pid: number): number {
  if (process.platform !== 'linux') return NaN
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // Behind the name, which may hold anything: utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}
