/**
 * Messages from a worker to the main thread, or there and back:
 * `miolo|miolo-sync|port numbers|arrays|round-trip MESSAGES WARMUP`. `miolo-sync`: the worker's own
 * loop, which the answers come to, is run by runSync.
 */
import { once } from 'node:events'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'

import { EventLoop, Sender, type SharedSender } from 'miolo'

import { quantile } from '../lib/stats.ts'

type Message = number | Uint8Array

/** What the worker is told (see worker-messages-worker.ts). */
export interface Task {
  side: 'miolo' | 'miolo-sync' | 'port'
  kind: 'numbers' | 'arrays' | 'round-trip'
  messages: number
  warmup: number
  toMain: SharedSender | null
}

const [side, kind] = process.argv.slice(2) as [Task['side'], Task['kind']]
const [messages, warmup] = [Number(process.argv[4]), Number(process.argv[5])]

/** More than the default of 4096, so that the worker, which may not block, is seldom told to wait. */
const CAPACITY = 65_536

const loop = side === 'port' ? null : new EventLoop<unknown, Message>({ notifyCapacity: CAPACITY })
const task: Task = { side, kind, messages, warmup, toMain: loop?.channel().share() ?? null }
// Beside this file and, like it, compiled.
const file = `./worker-messages-worker${extname(import.meta.url)}`
const worker = new Worker(new URL(file, import.meta.url), { workerData: task })
const [greeting] = (await once(worker, 'message')) as [{ toWorker: SharedSender | null }]

/** Takes what `go` makes the worker send, in the order it was sent. Resolves when all is there. */
function receive(count: number): Promise<void> {
  let received = 0
  const take = (message: Message): boolean => {
    const right =
      kind === 'numbers'
        ? message === received
        : (message as Uint8Array).length === 64 && (message as Uint8Array)[0] === (received & 255)
    if (!right) throw new Error(`message ${received} is not the one sent`)
    received += 1
    return received === count
  }
  if (loop !== null) {
    return loop.run({
      notify(loop, message) {
        if (take(message)) loop.shutdown()
      },
    })
  }
  return new Promise((resolve) => {
    const listener = (message: Message): void => {
      if (!take(message)) return
      worker.off('message', listener)
      resolve()
    }
    worker.on('message', listener)
  })
}

async function oneWay(): Promise<unknown> {
  const go = async (count: number): Promise<void> => {
    worker.postMessage(count)
    await receive(count)
  }
  await go(warmup)
  const cpu = process.cpuUsage()
  const start = performance.now()
  await go(messages)
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(cpu)
  return { perSecond: messages / seconds, cpuUs: (user + system) / messages }
}

/** Answers every message; the worker measures. */
async function roundTrip(): Promise<unknown> {
  const result = new Promise<Float64Array>((resolve) => {
    worker.on('message', (message: number | Float64Array) => {
      if (typeof message === 'number') worker.postMessage(message)
      else resolve(message)
    })
  })
  worker.postMessage(null)
  if (loop !== null) {
    const toWorker = Sender.from<Message>(greeting.toWorker!)
    void result.then(() => loop.shutdown())
    await loop.run({
      notify(_, message) {
        toWorker.send(message)
      },
    })
  }
  const latencies = await result
  return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) }
}

console.log(JSON.stringify(await (kind === 'round-trip' ? roundTrip() : oneWay())))
loop?.close()
await worker.terminate()
