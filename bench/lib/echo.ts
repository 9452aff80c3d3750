import type { Contest, Sample, Scale, Side, Target } from './bench.ts'
import { benchProgram } from './cargo.ts'
import { type Command, program, result, serve } from './child.ts'

/** What the load generator reports (crates/bench/src/bin/load.rs). */
interface LoadReport {
  messages: number
  messagesPerSecond: number
  latencyUs: Record<'p50' | 'p90' | 'p99' | 'p99.9' | 'max', number>
  errors: Record<'io' | 'closed' | 'wrong' | 'unanswered', number>
  serverCpuSeconds: number | null
  loadCpuSeconds: number | null
}

const BYTES = 64

/** An echo server in its own process, under a closed loop of messages of 64 bytes; `more` are arguments of `load`. */
export function echoSide(
  name: string,
  connections: number,
  server: () => Promise<Command>,
  ...more: string[]
): Side {
  return { name, measure: (scale) => measure(connections, scale, server, more) }
}

async function measure(
  connections: number,
  scale: Scale,
  command: () => Promise<Command>,
  more: string[],
): Promise<Sample> {
  const warmupMs = scale.short ? 200 : 1000
  const durationMs = scale.short ? 300 : 2000
  const deadlineMs = warmupMs + durationMs + 60_000
  const server = await serve(await command(), deadlineMs)
  try {
    const load = await benchProgram(
      'load',
      ...['--address', server.address, '--pid', String(server.pid)],
      ...['--connections', String(connections), '--bytes', String(BYTES)],
      ...['--warmup-ms', String(warmupMs), '--duration-ms', String(durationMs)],
      ...more,
    )
    return sampleOf(await result<LoadReport>(load, deadlineMs))
  } finally {
    await server.stop()
  }
}

function sampleOf(report: LoadReport): Sample {
  const errors = Object.entries(report.errors).filter(([, count]) => count > 0)
  if (errors.length > 0 || report.messages === 0) {
    const list = errors.map(([kind, count]) => `${count} ${kind}`).join(', ')
    throw new Error(`the echo failed: ${report.messages} messages, errors: ${list || 'none'}`)
  }
  const cpuUs = (seconds: number | null): number => ((seconds ?? NaN) * 1e6) / report.messages
  return {
    messagesPerSecond: report.messagesPerSecond,
    cpuPerMessage: cpuUs(report.serverCpuSeconds),
    loadCpuPerMessage: cpuUs(report.loadCpuSeconds),
    p50: report.latencyUs.p50,
    p99: report.latencyUs.p99,
  }
}

/** Echo with node:net, and with miolo with arguments of servers/miolo-echo.ts. */
export function netSide(connections: number): Side {
  return echoSide('net', connections, () => program('servers/node-net-echo'))
}

export function mioloSide(name: string, connections: number, ...args: string[]): Side {
  return echoSide(name, connections, () => program('servers/miolo-echo', ...args))
}

/** Both drivers against node:net. */
export function echoContest(
  connections: number,
  targets: Record<'embedded' | 'thread', { rate?: Target; cpu?: Target }>,
): Contest {
  return {
    name: `${connections} × ${BYTES} B`,
    sides: [
      netSide(connections),
      mioloSide('embedded', connections, '--driver', 'embedded'),
      mioloSide('thread', connections, '--driver', 'thread'),
    ],
    figures: (['embedded', 'thread'] as const).flatMap((side) => [
      {
        title: 'messages',
        metric: 'messagesPerSecond',
        unit: '/s',
        side,
        peer: 'net',
        target: targets[side].rate,
      },
      {
        title: 'CPU a message',
        metric: 'cpuPerMessage',
        unit: 'µs',
        side,
        peer: 'net',
        target: targets[side].cpu,
      },
    ]),
  }
}
