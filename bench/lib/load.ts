import type { Sample, Scale, Side } from './bench.ts'
import { benchProgram } from './cargo.ts'
import { type Command, result, serve, type Server } from './child.ts'

/** What the load generator reports (crates/bench/src/bin/load). */
export interface LoadReport {
  bytes: number
  messages: number
  messagesPerSecond: number
  latencyUs: Record<'p50' | 'p90' | 'p99' | 'p99.9' | 'max', number> | null
  errors: Record<'io' | 'closed' | 'wrong' | 'unanswered', number>
  serverCpuSeconds: number | null
  serverMainThreadCpuSeconds: number | null
  loadCpuSeconds: number | null
}

/** What a server is to bear, for as long as the scale says. */
export interface Traffic {
  /** `exchange`: every message on a connection of its own. Default: `echo`, in a closed loop. */
  mode?: 'echo' | 'exchange'
  /** How many there are at a time. */
  connections: number
  /** The length of a message. Default 64. */
  bytes?: number
  /** The client never sleeps, so that the time it would take to wake up is in no latency. */
  spin?: boolean
}

/** `64 × 64 B`, `256 × 1 KiB`. */
export function named({ connections, bytes = 64 }: Traffic): string {
  return `${connections} × ${bytes < 1024 ? `${bytes} B` : `${bytes / 1024} KiB`}`
}

/** How long whatever is to do with a server may take, beyond what it is told to take. */
export const PATIENCE_MS = 60_000

/** An echo server in its own process, under load. */
export function loadSide(name: string, traffic: Traffic, server: () => Promise<Command>): Side {
  return { name, measure: (scale) => measure(traffic, scale, server) }
}

async function measure(
  traffic: Traffic,
  scale: Scale,
  command: () => Promise<Command>,
): Promise<Sample> {
  const { mode = 'echo', connections, bytes = 64, spin = false } = traffic
  const warmupMs = scale.short ? 200 : 1000
  const durationMs = scale.short ? 300 : 2000
  const deadlineMs = warmupMs + durationMs + PATIENCE_MS
  const server = await serve(await command(), deadlineMs)
  try {
    const report = await load(
      server,
      deadlineMs,
      ...['--mode', mode, '--connections', String(connections), '--bytes', String(bytes)],
      ...['--warmup-ms', String(warmupMs), '--duration-ms', String(durationMs)],
      ...(spin ? ['--spin'] : []),
    )
    return sampleOf(report)
  } finally {
    await server.stop()
  }
}

/** The load generator, told where the server is. */
export function loadCommand(server: Server, ...args: string[]): Promise<Command> {
  return benchProgram('load', '--address', server.address, '--pid', String(server.pid), ...args)
}

/** Runs the load generator against a server; errors of its report throw. */
export async function load(
  server: Server,
  deadlineMs: number,
  ...args: string[]
): Promise<LoadReport> {
  return checked(await result<LoadReport>(await loadCommand(server, ...args), deadlineMs))
}

/** The report, if there is nothing wrong in it. */
export function checked(report: LoadReport): LoadReport {
  const errors = Object.entries(report.errors).filter(([, count]) => count > 0)
  if (errors.length > 0 || report.messages === 0) {
    const list = errors.map(([kind, count]) => `${count} ${kind}`).join(', ')
    throw new Error(`the echo failed: ${report.messages} messages, errors: ${list || 'none'}`)
  }
  return report
}

function sampleOf(report: LoadReport): Sample {
  const cpuUs = (seconds: number | null): number => ((seconds ?? NaN) * 1e6) / report.messages
  return {
    messagesPerSecond: report.messagesPerSecond,
    cpuPerMessage: cpuUs(report.serverCpuSeconds),
    mainThreadCpuPerMessage: cpuUs(report.serverMainThreadCpuSeconds),
    loadCpuPerMessage: cpuUs(report.loadCpuSeconds),
    p50: report.latencyUs?.p50 ?? NaN,
    p99: report.latencyUs?.p99 ?? NaN,
  }
}
