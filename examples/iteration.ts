// One iteration, callback by callback.
//
// Before the loop runs, one of everything is made ready: a signal, sockets, messages, timeouts. Its
// first iteration delivers them in the order that is always the same:
//
//   interrupted → ready… → notify… → timeout… → tick
//
// A shutdown in the midst of it changes nothing of that. What a callback causes comes in a later
// iteration, and waits for it: also where the loop must be run again to have one.

import {
  EventLoop,
  EventSet,
  type Handler,
  PollOpt,
  TcpListener,
  TcpStream,
  type Token,
} from 'miolo'

const CLIENT: Token = 1
const LISTENER: Token = 2

class Narrator implements Handler<string, string> {
  #iteration = 1

  interrupted(): void {
    this.#tell('interrupted', 'as by a signal')
  }

  ready(_: EventLoop<string, string>, token: Token, events: EventSet): void {
    this.#tell('ready', `${token === CLIENT ? 'the client' : 'the listener'} is ${events}`)
  }

  notify(loop: EventLoop<string, string>, message: string): void {
    this.#tell('notify', message)
    if (message === 'a question') loop.channel().send('an answer')
    else if (message === 'an answer') loop.shutdown()
  }

  timeout(loop: EventLoop<string, string>, timeout: string): void {
    this.#tell('timeout', timeout)
    if (timeout === 'due first') loop.shutdown()
  }

  tick(): void {
    this.#tell('tick', 'nothing of this iteration comes any more')
    this.#iteration++
  }

  #tell(callback: string, what: string): void {
    console.log(`${this.#iteration}  ${callback.padEnd(11)}  ${what}`)
  }
}

const loop = new EventLoop<string, string>()

const listener = TcpListener.bind('127.0.0.1:0')
const client = TcpStream.connect(listener.localAddress())
loop.register(listener, LISTENER, EventSet.readable(), PollOpt.edge())
loop.register(client, CLIENT, EventSet.writable(), PollOpt.edge())

const sender = loop.channel()
sender.send('a question')
sender.send('behind the question')

loop.timeoutMs('due second', 50)
loop.timeoutMs('due first', 1)
loop.interrupt()

// Until the timeouts are due. Nobody does that in earnest: it is what makes one iteration of all this.
const due = performance.now() + 60
while (performance.now() < due);

// On this thread alone, so that no other turns the loop in the meantime.
const narrator = new Narrator()
loop.runSync(narrator)
console.log('   shut down; run again')
loop.runSync(narrator)
loop.close()
