/** The worker of worker-messages.ts. */
import { once } from 'node:events'
import { parentPort as port, workerData } from 'node:worker_threads'

import { EventLoop, NotifyError, Sender } from 'miolo'

import type { Task } from './worker-messages.ts'

const { side, kind, messages, warmup, toMain } = workerData as Task
const parentPort = port!

const sender = toMain === null ? null : Sender.from<number | Uint8Array>(toMain)
const clock = new Int32Array(new SharedArrayBuffer(4))

/** Sends; where there is no room, looks again in a millisecond. */
function send(message: number | Uint8Array): void {
  if (sender === null) return parentPort.postMessage(message)
  for (;;) {
    try {
      return sender.send(message)
    } catch (error) {
      if (!(error instanceof NotifyError) || error.code !== 'ERR_MIOLO_NOTIFY_FULL') throw error
      Atomics.wait(clock, 0, 0, 1)
    }
  }
}

function oneWay(): void {
  parentPort.on('message', (count: number) => {
    if (kind === 'numbers') {
      for (let message = 0; message < count; message += 1) send(message)
      return
    }
    const bytes = new Uint8Array(64)
    for (let message = 0; message < count; message += 1) {
      bytes[0] = message
      send(bytes)
    }
  })
  parentPort.postMessage({ toWorker: null })
}

async function roundTrip(): Promise<void> {
  const latencies = new Float64Array(messages)
  const total = warmup + messages
  let sent = 0
  let sentAt = 0
  const next = (): void => {
    sentAt = performance.now()
    send(sent++)
  }
  /** True when the last answer has come. */
  const answered = (message: number): boolean => {
    if (message !== sent - 1) throw new Error(`answer ${message} to message ${sent - 1}`)
    if (message >= warmup) latencies[message - warmup] = (performance.now() - sentAt) * 1000
    if (sent === total) return true
    next()
    return false
  }
  if (sender === null) {
    parentPort.on('message', (message: number | null) => {
      if (message === null) next()
      else if (answered(message)) parentPort.postMessage(latencies)
    })
    parentPort.postMessage({ toWorker: null })
    return
  }
  const loop = new EventLoop<unknown, number>()
  const handler = {
    notify(loop: EventLoop<unknown, number>, message: number): void {
      if (answered(message)) loop.shutdown()
    },
  }
  parentPort.postMessage({ toWorker: loop.channel().share() })
  await once(parentPort, 'message')
  next()
  if (side === 'miolo-sync') loop.runSync(handler)
  else await loop.run(handler)
  loop.close()
  parentPort.postMessage(latencies)
}

if (kind === 'round-trip') await roundTrip()
else oneWay()
