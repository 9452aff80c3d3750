/** EventSet and PollOpt: sets of flyweights. */

import test from 'ava'
import { EventSet, PollOpt } from 'miolo'

import { throwsCode } from './support/errors.ts'

const NAMES = ['Readable', 'Writable', 'Error', 'Hup']

/** All sixteen, by their bits. */
const eventSets = Array.from({ length: 16 }, (_, bits) => {
  let set = EventSet.none()
  if (bits & 1) set = set.union(EventSet.readable())
  if (bits & 2) set = set.union(EventSet.writable())
  if (bits & 4) set = set.union(EventSet.error())
  if (bits & 8) set = set.union(EventSet.hup())
  return set
})

/** All eight, by their bits / 0x20. */
const pollOpts = Array.from({ length: 8 }, (_, index) => {
  let opt = PollOpt.empty()
  if (index & 1) opt = opt.union(PollOpt.edge())
  if (index & 2) opt = opt.union(PollOpt.level())
  if (index & 4) opt = opt.union(PollOpt.oneshot())
  return opt
})

test("the bits are mio's", (t) => {
  t.is(EventSet.none().bits, 0)
  t.is(EventSet.readable().bits, 1)
  t.is(EventSet.writable().bits, 2)
  t.is(EventSet.error().bits, 4)
  t.is(EventSet.hup().bits, 8)
  t.is(EventSet.all().bits, 15)
  t.is(PollOpt.empty().bits, 0)
  t.is(PollOpt.edge().bits, 0x20)
  t.is(PollOpt.level().bits, 0x40)
  t.is(PollOpt.oneshot().bits, 0x80)
  t.is(PollOpt.all().bits, 0xe0)
})

test('equal sets are the same object', (t) => {
  for (const [bits, set] of eventSets.entries()) {
    t.is(set.bits, bits)
    t.is(set, set.union(set))
    t.is(set, EventSet.all().intersection(set))
    t.is(set.union(EventSet.none()), set)
  }
  t.is(EventSet.readable(), EventSet.readable())
  t.is(EventSet.all(), eventSets[15])
  t.is(new Set(eventSets).size, 16)
  for (const [index, opt] of pollOpts.entries()) {
    t.is(opt.bits, index * 0x20)
    t.is(opt, PollOpt.all().intersection(opt))
  }
  t.is(PollOpt.all(), pollOpts[7])
  t.is(new Set(pollOpts).size, 8)
})

test('operators are those of sets, for every pair', (t) => {
  for (const a of eventSets) {
    for (const b of eventSets) {
      t.is(a.union(b).bits, a.bits | b.bits)
      t.is(a.intersection(b).bits, a.bits & b.bits)
      t.is(a.difference(b).bits, a.bits & ~b.bits)
      t.is(a.contains(b), (a.bits & b.bits) === b.bits)
    }
  }
  for (const a of pollOpts) {
    for (const b of pollOpts) {
      t.is(a.union(b).bits, a.bits | b.bits)
      t.is(a.intersection(b).bits, a.bits & b.bits)
      t.is(a.difference(b).bits, a.bits & ~b.bits)
      t.is(a.contains(b), (a.bits & b.bits) === b.bits)
    }
  }
})

test('each member can be asked for', (t) => {
  for (const [bits, set] of eventSets.entries()) {
    t.is(set.isReadable(), (bits & 1) !== 0)
    t.is(set.isWritable(), (bits & 2) !== 0)
    t.is(set.isError(), (bits & 4) !== 0)
    t.is(set.isHup(), (bits & 8) !== 0)
  }
  for (const [index, opt] of pollOpts.entries()) {
    t.is(opt.isEdge(), (index & 1) !== 0)
    t.is(opt.isLevel(), (index & 2) !== 0)
    t.is(opt.isOneshot(), (index & 4) !== 0)
  }
})

test("toString is mio's Debug", (t) => {
  t.is(EventSet.readable().union(EventSet.hup()).toString(), 'Readable | Hup')
  t.is(`${EventSet.none()}`, '')
  for (const [bits, set] of eventSets.entries()) {
    t.is(String(set), NAMES.filter((_, bit) => (bits >> bit) & 1).join(' | '))
  }
  t.is(PollOpt.all().toString(), 'Edge-Triggered | Level-Triggered | OneShot')
  t.is(PollOpt.edge().union(PollOpt.oneshot()).toString(), 'Edge-Triggered | OneShot')
  t.is(`${PollOpt.empty()}`, '')
})

test('none can be changed', (t) => {
  for (const set of [...eventSets, ...pollOpts]) {
    t.throws(
      () => {
        ;(set as { bits: number }).bits = 3
      },
      { instanceOf: TypeError },
    )
    t.true(Object.isFrozen(set))
  }
})

test('operators refuse what is no set of their kind', (t) => {
  const others = [
    undefined,
    null,
    0,
    3,
    '',
    'Readable',
    {},
    { bits: 1 },
    [],
    Symbol('s'),
    1n,
    () => {},
  ]
  for (const other of [...others, PollOpt.edge()]) {
    for (const operator of ['union', 'intersection', 'difference', 'contains'] as const) {
      const action = () => EventSet.all()[operator](other as never)
      throwsCode(t, action, 'ERR_INVALID_ARG_TYPE', TypeError)
    }
  }
  for (const other of [...others, EventSet.readable()]) {
    for (const operator of ['union', 'intersection', 'difference', 'contains'] as const) {
      const action = () => PollOpt.all()[operator](other as never)
      throwsCode(t, action, 'ERR_INVALID_ARG_TYPE', TypeError)
    }
  }
})
