// Closing in `tick`, the last callback of an iteration.
//
// A message that says "quit" may have others behind it in the same iteration. Whoever releases in
// `notify` what those need is in trouble; in `tick` nothing more comes.

import { EventLoop, type Handler } from 'miolo'

type Message = { line: string } | 'quit'

class TickHandler implements Handler<never, Message> {
  /** Stands for a file, a connection: something that must be closed, and not be used afterwards. */
  #log: string[] | null = []

  notify(loop: EventLoop<never, Message>, message: Message): void {
    if (message === 'quit') return loop.shutdown()
    if (this.#log === null) throw new Error('written to after it was closed')
    this.#log.push(message.line)
    console.log(`wrote: ${message.line}`)
  }

  tick(loop: EventLoop<never, Message>): void {
    if (!loop.isRunning() && this.#log !== null) {
      console.log(`closed after ${this.#log.length} lines`)
      this.#log = null
    }
  }
}

const loop = new EventLoop<never, Message>()
const sender = loop.channel()
sender.send({ line: 'one' })
sender.send('quit')
sender.send({ line: 'two, behind the message that quits' })

await loop.run(new TickHandler())
loop.close()
