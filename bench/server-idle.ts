import { readFileSync } from 'node:fs'

import { atMost, type Bench, type Sample, type Scale, type Side } from './lib/bench.ts'
import { hold, program, serve, type Server } from './lib/child.ts'
import { checked, loadCommand, type LoadReport, PATIENCE_MS } from './lib/load.ts'
import { hidden, resident } from './lib/process.ts'

const CONNECTIONS = 10_000
/** Descriptors that a process has besides. */
const OTHERS = 200

function side(name: string, server: string): Side {
  return { name, measure: (scale) => measure(server, scale) }
}

async function measure(name: string, scale: Scale): Promise<Sample> {
  const connections = scale.short ? 500 : CONNECTIONS
  const { file, args } = await program(`servers/${name}`)
  const server = await serve({ file, args: ['--expose-gc', ...args] }, 2 * PATIENCE_MS)
  try {
    // The first ones have what is loaded and allocated once for all.
    await holding(server, connections / 10)
    const before = await collected(server)
    const during = await holding(server, connections)
    return { kibEach: (during - before) / 1024 / connections, rssMiB: during / 2 ** 20 }
  } finally {
    await server.stop()
  }
}

/** The server's memory while it has so many connections. */
async function holding(server: Server, connections: number): Promise<number> {
  const args = ['--mode', 'idle', '--connections', String(connections)]
  const load = await hold(await loadCommand(server, ...args), PATIENCE_MS, /^holding /)
  const bytes = await collected(server)
  checked(await load.release<LoadReport>())
  return bytes
}

async function collected(server: Server): Promise<number> {
  await server.collect()
  return resident(server.pid)
}

function tooFewDescriptors(): string | null {
  const limit = /^Max open files +\d+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
  if (limit === null || Number(limit[1]) >= CONNECTIONS + OTHERS) return null
  return `${CONNECTIONS} connections need as many descriptors, and \`ulimit -Hn\` is ${limit[1]}`
}

/** What a connection takes that does nothing, in the server's process; the kernel's part is the same for all. */
export const serverIdle: Bench = {
  name: 'server-idle',
  contests: [
    {
      name: `${CONNECTIONS} connections`,
      sides: [side('net', 'node-net-echo'), side('auto', 'tcp-server-echo')],
      figures: [
        {
          title: 'memory each',
          metric: 'kibEach',
          unit: 'KiB',
          side: 'auto',
          peer: 'net',
          target: atMost(0.5),
        },
        { title: 'whole process', metric: 'rssMiB', unit: 'MiB', side: 'auto', peer: 'net' },
      ],
    },
  ],
  unavailable: () => hidden() ?? tooFewDescriptors(),
}
