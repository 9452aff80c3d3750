// One server on several threads, in two ways.
//
//   scale_out.ts loops [N]        N loop threads feed this one JS thread
//   scale_out.ts workers [N]      N workers, each with a loop and handlers of its own, share the port
//
// Either way it then connects to itself a few times, and says who has answered: a thread with JavaScript. Which of the
// loop threads has which connection, nothing tells it; they get them in turn, so evenly.

import { once } from 'node:events'
import { connect } from 'node:net'
import { isMainThread, parentPort, threadId, Worker, workerData } from 'node:worker_threads'

import { EventLoop, type ServerOptions, TcpServer } from 'miolo'

const CLIENTS = 64

if (isMainThread) {
  const [way = 'loops', count = '4'] = process.argv.slice(2)
  await (way === 'workers' ? onWorkers(Number(count)) : onLoops(Number(count)))
} else {
  await serveInWorker(workerData as string)
}

async function onLoops(loops: number): Promise<void> {
  const loop = new EventLoop()
  const { server, address } = serve(loop, '127.0.0.1:0', { loops })
  const running = loop.run({})
  console.log(`${loops} loops serve ${address}, and feed thread ${threadId}`)
  await talk(address)
  await server.close({ deadlineMs: 1000 })
  loop.shutdown()
  await running
  loop.close()
}

async function onWorkers(count: number): Promise<void> {
  const workers: Worker[] = []
  let address = '127.0.0.1:0'
  for (let index = 0; index < count; index++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: address })
    workers.push(worker)
    // The first one has the system choose the port.
    ;[address] = (await once(worker, 'message')) as [string]
  }
  console.log(`${count} workers serve ${address}`)
  await talk(address)
  await Promise.all(
    workers.map(async (worker) => {
      worker.postMessage('end')
      await once(worker, 'exit')
    }),
  )
}

async function serveInWorker(wanted: string): Promise<void> {
  const loop = new EventLoop()
  const { server, address } = serve(loop, wanted, { reusePort: true })
  parentPort?.once('message', async () => {
    await server.close({ deadlineMs: 1000 })
    loop.shutdown()
  })
  parentPort?.postMessage(address)
  await loop.run({})
  loop.close()
}

/** A server whose clients learn in which thread JavaScript serves them, and from whom they are told it. */
function serve(loop: EventLoop, wanted: string, options: ServerOptions) {
  const server = new TcpServer(
    loop,
    { data: (conn, line) => void conn.write(`thread ${threadId}: ${line}\n`) },
    { framing: 'lines', ...options },
  )
  const { address, port } = server.listen(wanted)
  return { server, address: `${address}:${port}` }
}

/** Connects so many times, and counts who answers. */
async function talk(address: string): Promise<void> {
  const [host, port] = address.split(':') as [string, string]
  const answers = await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const socket = connect(Number(port), host)
      socket.write('hello\n')
      const [answer] = (await once(socket, 'data')) as [Buffer]
      socket.end()
      return answer.toString().split(':')[0] as string
    }),
  )
  const counts = new Map<string, number>()
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1)
  for (const [who, count] of [...counts].sort()) console.log(`${who} answered ${count} times`)
}
