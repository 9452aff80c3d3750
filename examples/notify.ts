// Messages from another thread. This file is both: the main thread starts it again as a worker.

import { once } from 'node:events'
import { isMainThread, Worker, workerData } from 'node:worker_threads'

import { EventLoop, type Handler, NotifyError, Sender } from 'miolo'

/** Numbers, and null: no more will come. */
type Message = number | null

class NotifyHandler implements Handler<never, Message> {
  notify(loop: EventLoop<never, Message>, message: Message): void {
    if (message === null) loop.shutdown()
    else console.log(`notified of ${message}`)
  }
}

if (isMainThread) {
  const loop = new EventLoop<never, Message>()

  // A Sender cannot be cloned into a worker, but what it shares can.
  const worker = new Worker(new URL(import.meta.url), { workerData: loop.channel().share() })
  const exited = once(worker, 'exit')

  await loop.run(new NotifyHandler())
  await exited
  console.log('shut down')
  loop.close()
} else {
  const sender = Sender.from<Message>(workerData)
  for (const message of [1, 2, 3, null]) {
    try {
      // It never blocks. If the channel is full, the message comes back.
      sender.send(message)
    } catch (error) {
      if (!(error instanceof NotifyError)) throw error
      console.error(`no room for ${error.rejected}`)
    }
  }
}
