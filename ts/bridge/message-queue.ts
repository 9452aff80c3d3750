/** Messages of the loop's own isolate, passed by reference: a queue in a ring that grows. */

export class MessageQueue<Message> {
  #items: (Message | undefined)[] = Array.from({ length: 16 })
  #head = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(message: Message): void {
    if (this.#length === this.#items.length) this.#grow()
    this.#items[(this.#head + this.#length++) & (this.#items.length - 1)] = message
  }

  /** The oldest message; there is one. */
  shift(): Message {
    const message = this.#items[this.#head] as Message
    this.#items[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#items.length - 1)
    this.#length--
    return message
  }

  /** Lets go of all messages; the loop is closed. */
  clear(): void {
    this.#items = []
    this.#length = 0
  }

  #grow(): void {
    const old = this.#items
    const larger: (Message | undefined)[] = Array.from({ length: old.length * 2 })
    for (let index = 0; index < this.#length; index++) {
      larger[index] = old[(this.#head + index) & (old.length - 1)]
    }
    this.#items = larger
    this.#head = 0
  }
}
