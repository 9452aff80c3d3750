import { setInterval } from 'node:timers'

import {
  atLeast,
  type Bench,
  type Figure,
  type Sample,
  type Scale,
  type Side,
  type Target,
  valueAtMost,
} from './lib/bench.ts'
import { program, serve } from './lib/child.ts'
import { load, PATIENCE_MS } from './lib/load.ts'
import { hidden, resident } from './lib/process.ts'

const MIB = 2 ** 20
const CHUNK = 16 * 1024
const SAMPLE_MS = 10
/** Memory is flat when it grows by no more than this, in MiB: what heaps and buffers swing by anyway. */
const FLAT = 8

function side(name: string, server: string): Side {
  return { name, measure: (scale) => measure(server, scale) }
}

async function measure(name: string, scale: Scale): Promise<Sample> {
  const total = (scale.short ? 64 : 1024) * MIB
  const server = await serve(await program(`servers/${name}`, '--flow'), PATIENCE_MS)
  try {
    const memory = watch(server.pid)
    const args = ['--mode', 'bulk', '--bytes', String(CHUNK), '--total', String(total)]
    const report = await load(server, PATIENCE_MS, ...args).finally(memory.end)
    const mib = (report.messages * report.bytes) / MIB
    return {
      mibPerSecond: (report.messagesPerSecond * report.bytes) / MIB,
      cpuPerMib: ((report.serverCpuSeconds ?? NaN) * 1e6) / mib,
      ...memory.figures(),
    }
  } finally {
    await server.stop()
  }
}

/** Looks at the resident set of a process again and again, where the system tells it. */
function watch(pid: number): {
  end(): void
  figures(): { growthMiB: number; peakMiB: number }
} {
  if (hidden() !== null) {
    return { end: () => undefined, figures: () => ({ growthMiB: NaN, peakMiB: NaN }) }
  }
  const seen = [resident(pid)]
  const timer = setInterval(() => seen.push(resident(pid)), SAMPLE_MS)
  return {
    end: () => clearInterval(timer),
    figures: () => {
      const peak = (from: number, to: number): number =>
        Math.max(...seen.slice(Math.floor(seen.length * from), Math.ceil(seen.length * to)))
      return {
        // From the second quarter of the time to the last: what is there at the first is warm-up.
        growthMiB: (peak(0.75, 1) - peak(0.25, 0.5)) / MIB,
        peakMiB: (peak(0, 1) - seen[0]!) / MIB,
      }
    },
  }
}

const figure = (rest: Pick<Figure, 'title' | 'metric' | 'unit'>, target?: Target): Figure => ({
  side: 'auto',
  peer: 'net',
  ...rest,
  ...(target === undefined ? {} : { target }),
})

/** All that one connection takes, both ways; both servers wait where the other end does. */
export const serverBulk: Bench = {
  name: 'server-bulk',
  contests: [
    {
      name: '1 GiB by 16 KiB',
      sides: [side('net', 'node-net-echo'), side('auto', 'tcp-server-echo')],
      figures: [
        figure({ title: 'each way', metric: 'mibPerSecond', unit: 'MiB/s' }, atLeast(1.5)),
        figure({ title: 'CPU a MiB', metric: 'cpuPerMib', unit: 'µs' }),
        figure({ title: 'memory, growth', metric: 'growthMiB', unit: 'MiB' }, valueAtMost(FLAT)),
        figure({ title: 'memory, peak', metric: 'peakMiB', unit: 'MiB' }),
      ],
    },
  ],
}
