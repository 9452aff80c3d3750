//! Cutting a connection's bytes into frames, however they come.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use miolo_server::{Endian, Fed, FrameError, Framer, Framing, LengthBytes, LengthPrefix};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn lines(max: usize) -> Framing {
    Framing::Lines { max }
}

fn delimited(delimiter: &[u8], max: usize) -> Framing {
    Framing::Delimited {
        delimiter: delimiter.to_vec(),
        max,
    }
}

/// A plain prefix: nothing before it, it counts what follows, and is left out.
fn prefix(bytes: LengthBytes, endian: Endian, max: usize) -> LengthPrefix {
    LengthPrefix {
        bytes,
        endian,
        offset: 0,
        inclusive: false,
        strip: true,
        max,
    }
}

fn framer(framing: Framing) -> Framer {
    Framer::new(Arc::new(framing))
}

/// Feeds, and takes every frame.
fn feed(framer: &mut Framer, bytes: &[u8]) -> (Vec<Vec<u8>>, Result<Fed, FrameError>) {
    let mut frames = Vec::new();
    let fed = framer.feed(bytes, |frame| {
        frames.push(frame.to_vec());
        ControlFlow::Continue(())
    });
    (frames, fed)
}

/// Feeds what ought to be good, and counts the frames.
fn count(framer: &mut Framer, bytes: &[u8]) -> usize {
    let mut frames = 0;
    let fed = framer.feed(bytes, |_| {
        frames += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(fed, Ok(Fed::Drained));
    frames
}

// What ought to come of a connection's bytes, in the simplest way.

#[derive(Debug, PartialEq)]
struct Outcome {
    frames: Vec<Vec<u8>>,
    /// Bytes that belong to none of them.
    held: usize,
    error: Option<FrameError>,
}

fn oracle(framing: &Framing, stream: &[u8]) -> Outcome {
    let mut outcome = Outcome {
        frames: Vec::new(),
        held: stream.len(),
        error: None,
    };
    while outcome.held > 0 {
        let rest = &stream[stream.len() - outcome.held..];
        match first(framing, rest) {
            Ok(Some((frame, length))) => {
                outcome.frames.push(frame);
                outcome.held -= length;
            }
            Ok(None) => break,
            Err(error) => {
                outcome.error = Some(error);
                outcome.held = 0;
            }
        }
    }
    outcome
}

/// The first frame, and how many bytes it takes.
fn first(framing: &Framing, rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, FrameError> {
    let (frame, max, length) = match framing {
        Framing::Raw => (rest, usize::MAX, Some(rest.len())),
        Framing::Lines { max } => {
            let end = rest.iter().position(|&byte| byte == b'\n');
            let line = &rest[..end.unwrap_or(rest.len())];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (line, *max, end.map(|end| end + 1))
        }
        Framing::Delimited { delimiter, max } => {
            let mut windows = rest.windows(delimiter.len());
            let end = windows.position(|window| window == delimiter);
            let begun = (0..delimiter.len())
                .rev()
                .find(|&begun| rest.ends_with(&delimiter[..begun]));
            let frame = &rest[..end.unwrap_or(rest.len() - begun.unwrap())];
            (frame, *max, end.map(|end| end + delimiter.len()))
        }
        Framing::LengthPrefixed(prefix) => return first_by_length(prefix, rest),
    };
    if frame.len() > max {
        return Err(FrameError::TooLong);
    }
    Ok(length.map(|length| (frame.to_vec(), length)))
}

fn first_by_length(
    prefix: &LengthPrefix,
    rest: &[u8],
) -> Result<Option<(Vec<u8>, usize)>, FrameError> {
    let header = prefix.offset as u128 + prefix.bytes as u128;
    let mut field: Vec<u8> = rest
        .iter()
        .copied()
        .skip(prefix.offset)
        .chain([0; 4])
        .take(prefix.bytes as usize)
        .collect();
    if prefix.endian == Endian::Little {
        field.reverse();
    }
    let number = field
        .iter()
        .fold(0, |number, &byte| number * 256 + u128::from(byte));
    let total = number + if prefix.inclusive { 0 } else { header };
    if header.max(total) > prefix.max as u128 {
        Err(FrameError::TooLong)
    } else if (rest.len() as u128) < header {
        Ok(None)
    } else if total < header {
        Err(FrameError::Malformed)
    } else if (rest.len() as u128) < total {
        Ok(None)
    } else {
        let from = if prefix.strip { header } else { 0 };
        Ok(Some((
            rest[from as usize..total as usize].to_vec(),
            total as usize,
        )))
    }
}

/// What to do when a frame was answered with Break.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stopped {
    /// Feed nothing until the framer is drained.
    Drain,
    /// Go on with the next piece, and drain at the end.
    PileUp,
}

/// Feeds the pieces, stops where `stops` says so, and compares with the oracle whenever all there is has been cut.
fn check<'a>(
    framing: &Framing,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    stopped: Stopped,
    mut stops: impl FnMut() -> bool,
) {
    let mut framer = framer(framing.clone());
    let mut stream = Vec::new();
    let mut frames: Vec<Vec<u8>> = Vec::new();
    // Feeds once. A Break has to be the end of it.
    let mut feed = |framer: &mut Framer, frames: &mut Vec<Vec<u8>>, bytes: &[u8]| {
        let mut stop = false;
        let fed = framer.feed(bytes, |frame| {
            assert!(!stop, "a frame after Break");
            frames.push(frame.to_vec());
            stop = stops();
            if stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if let Ok(fed) = fed {
            assert_eq!(fed == Fed::Stopped, stop);
        }
        fed
    };
    for piece in pieces.into_iter().map(Some).chain([None]) {
        stream.extend_from_slice(piece.unwrap_or_default());
        let mut fed = feed(&mut framer, &mut frames, piece.unwrap_or_default());
        while fed == Ok(Fed::Stopped) && (stopped == Stopped::Drain || piece.is_none()) {
            fed = feed(&mut framer, &mut frames, &[]);
        }
        if fed == Ok(Fed::Stopped) {
            continue;
        }
        let outcome = Outcome {
            frames: frames.clone(),
            held: framer.held(),
            error: fed.err(),
        };
        assert_eq!(
            outcome,
            oracle(framing, &stream),
            "{framing:?} of {stream:?}, last {piece:?}"
        );
        if let Some(error) = outcome.error {
            assert_eq!(feed(&mut framer, &mut frames, b"x"), Err(error));
            assert_eq!(feed(&mut framer, &mut frames, &[]), Err(error));
            assert_eq!((frames, framer.held()), (outcome.frames, 0));
            return;
        }
    }
}

/// In every way: never stopped, and stopped at every frame.
fn check_stops(framing: &Framing, pieces: &[&[u8]]) {
    let pieces = || pieces.iter().copied();
    check(framing, pieces(), Stopped::Drain, || false);
    check(framing, pieces(), Stopped::Drain, || true);
    check(framing, pieces(), Stopped::PileUp, || true);
}

/// Whole, in two, in three, and byte by byte.
fn check_splits(framing: &Framing, stream: &[u8]) {
    for first in 0..=stream.len() {
        let (begin, rest) = stream.split_at(first);
        for second in 0..=rest.len() {
            let (middle, end) = rest.split_at(second);
            check_stops(framing, &[begin, middle, end]);
        }
    }
    check_stops(framing, &stream.chunks(1).collect::<Vec<_>>());
}

/// A stream of frames, as a sender would make it.
fn encode(framing: &Framing, payloads: &[&[u8]]) -> Vec<u8> {
    let mut stream = Vec::new();
    for &payload in payloads {
        match framing {
            Framing::Raw => stream.extend_from_slice(payload),
            Framing::Lines { .. } => stream.extend([payload, b"\n"].concat()),
            Framing::Delimited { delimiter, .. } => stream.extend([payload, delimiter].concat()),
            Framing::LengthPrefixed(prefix) => stream.extend(encode_length(prefix, payload)),
        }
    }
    stream
}

fn encode_length(prefix: &LengthPrefix, payload: &[u8]) -> Vec<u8> {
    let width = prefix.bytes as usize;
    let mut length = payload.len();
    if prefix.inclusive {
        length += prefix.offset + width;
    }
    let length = u32::try_from(length).unwrap();
    let field = match prefix.endian {
        Endian::Big => length.to_be_bytes()[4 - width..].to_vec(),
        Endian::Little => length.to_le_bytes()[..width].to_vec(),
    };
    let before = vec![0xee; prefix.offset];
    [&before[..], &field, payload].concat()
}

fn every_prefix(max: usize) -> Vec<LengthPrefix> {
    let mut all = Vec::new();
    for bytes in [LengthBytes::One, LengthBytes::Two, LengthBytes::Four] {
        for endian in [Endian::Big, Endian::Little] {
            for offset in [0, 3] {
                for (inclusive, strip) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    all.push(LengthPrefix {
                        bytes,
                        endian,
                        offset,
                        inclusive,
                        strip,
                        max,
                    });
                }
            }
        }
    }
    all
}

// At every split point.

#[test]
fn lines_are_cut_wherever_the_bytes_are_split() {
    check_splits(
        &lines(5),
        b"one\r\n\ntwo\n\r\n\r\r\nf\rur\n\n12345\r\nend\r",
    );
}

#[test]
fn delimiters_cut_wherever_the_bytes_are_split() {
    check_splits(&delimited(b",", 5), b"one,,two,12345,,\n,end");
    check_splits(
        &delimited(b"\r\n", 5),
        b"\r\none\r\r\ntwo\n\r\n\r\n12345\r\n\r",
    );
    check_splits(&delimited(b"aab", 5), b"aabaaabab,aab12aaaab,aaaaabaaaabaa");
    check_splits(&delimited(b"abab", 5), b"ababaababababab,aabab,abaababba");
    check_splits(&delimited(b"aaaa", 5), b"aaaaaaaaabaaaabaaabaaaaa,aaa");
    check_splits(
        &delimited(b"----=end", 9),
        b"one----=end-----=end----=en----=endtw",
    );
}

#[test]
fn a_length_cuts_wherever_the_bytes_are_split() {
    for prefix in every_prefix(100) {
        let framing = Framing::LengthPrefixed(prefix);
        let stream = encode(&framing, &[b"ab", b"", b"1"]);
        check_splits(&framing, &stream);
        // The beginning of another.
        check_stops(&framing, &[&stream, &stream[..1]]);
    }
}

#[test]
fn what_goes_wrong_goes_wrong_wherever_the_bytes_are_split() {
    check_splits(&lines(5), b"one\r\n12345\r\n123456\r\nnever\n");
    check_splits(&lines(5), b"one\n12345\r\r\nnever\n");
    check_splits(&lines(0), b"\n\r\n\r\r\n");
    check_splits(&delimited(b"aab", 3), b"aab123aab123aaab");
    check_splits(&delimited(b"aab", 0), b"aabaabaaab");
    check_splits(&delimited(b"abab", 3), b"123abab12ababab123aabab");
    for mut prefix in every_prefix(12) {
        let stream = encode_length(&prefix, b"1234567890123");
        check_splits(&Framing::LengthPrefixed(prefix), &stream);
        prefix.inclusive = true;
        let mut stream = encode_length(&prefix, b"12");
        stream.extend(vec![0; prefix.offset + prefix.bytes as usize]);
        check_splits(&Framing::LengthPrefixed(prefix), &stream);
    }
}

// What frames are.

#[test]
fn frames_come_out_as_they_were_put_in() {
    let payloads: [&[u8]; 5] = [b"one", b"", b"two", &[0, 255, 0], b"three"];
    let mut framings = vec![lines(5), delimited(b";", 5), delimited(b"--", 5)];
    framings.extend(
        every_prefix(20)
            .into_iter()
            .filter(|prefix| prefix.strip)
            .map(Framing::LengthPrefixed),
    );
    for framing in framings {
        let stream = encode(&framing, &payloads);
        let (frames, fed) = feed(&mut framer(framing), &stream);
        assert_eq!(
            (frames, fed),
            (payloads.map(<[u8]>::to_vec).to_vec(), Ok(Fed::Drained))
        );
    }
}

#[test]
fn a_line_loses_one_carriage_return() {
    let (frames, _) = feed(&mut framer(lines(10)), b"a\r\nb\r\r\nc\rd\n\r\n\n");
    assert_eq!(frames, [&b"a"[..], b"b\r", b"c\rd", b"", b""]);
}

#[test]
fn the_first_of_overlapping_delimiters_counts() {
    let (frames, _) = feed(&mut framer(delimited(b"aab", 10)), b"aaaabaab");
    assert_eq!(frames, [&b"aa"[..], b""]);
    let (frames, _) = feed(&mut framer(delimited(b"aba", 10)), b"xababayaba");
    assert_eq!(frames, [&b"x"[..], b"bay"]);
}

#[test]
fn a_header_stays_in_the_frame_unless_stripped() {
    let mut prefix = LengthPrefix {
        offset: 2,
        strip: false,
        ..prefix(LengthBytes::Two, Endian::Big, 10)
    };
    let stream = b"ab\x00\x03xyz";
    let (frames, _) = feed(&mut framer(Framing::LengthPrefixed(prefix)), stream);
    assert_eq!(frames, [stream]);
    prefix.strip = true;
    let (frames, _) = feed(&mut framer(Framing::LengthPrefixed(prefix)), stream);
    assert_eq!(frames, [b"xyz"]);
}

#[test]
fn raw_bytes_are_handed_over_as_they_come() {
    assert_eq!(Framing::default(), Framing::Raw);
    let mut framer = framer(Framing::Raw);
    assert_eq!(
        feed(&mut framer, b"one\n"),
        (vec![b"one\n".to_vec()], Ok(Fed::Drained))
    );
    assert_eq!(feed(&mut framer, b""), (vec![], Ok(Fed::Drained)));
    let fed = framer.feed(b"two", |frame| {
        assert_eq!(frame, b"two");
        ControlFlow::Break(())
    });
    assert_eq!((fed, framer.held()), (Ok(Fed::Stopped), 0));
    assert_eq!(feed(&mut framer, b""), (vec![], Ok(Fed::Drained)));
}

#[test]
fn whole_frames_are_handed_over_where_they_lie() {
    let plain = Framing::LengthPrefixed(prefix(LengthBytes::One, Endian::Big, 10));
    for framing in [Framing::Raw, lines(10), delimited(b"::", 10), plain] {
        let bytes = encode(&framing, &[b"one", b"two", b"three"]);
        let mut framer = framer(framing);
        let mut frames = 0;
        let _ = framer.feed(&bytes, |frame| {
            let (outer, inner) = (bytes.as_ptr_range(), frame.as_ptr_range());
            assert!(outer.start <= inner.start && inner.end <= outer.end);
            frames += 1;
            ControlFlow::Continue(())
        });
        assert!(frames > 0);
    }
}

// Stopping.

#[test]
fn a_stopped_framer_goes_on_without_new_bytes() {
    let mut framer = framer(lines(10));
    let mut taken = Vec::new();
    for bytes in [&b"one\ntwo\nthr"[..], b"", b"", b"ee\nfo", b""] {
        let fed = framer.feed(bytes, |frame| {
            taken.push(frame.to_vec());
            ControlFlow::Break(())
        });
        taken.push(format!("{:?} {}", fed.unwrap(), framer.held()).into_bytes());
    }
    let expected = [
        "one",
        "Stopped 7",
        "two",
        "Stopped 3",
        "Drained 3",
        "three",
        "Stopped 2",
        "Drained 2",
    ];
    assert_eq!(taken, expected.map(str::as_bytes));
}

#[test]
fn an_error_waits_for_the_frames_before_it() {
    let mut framer = framer(lines(3));
    let mut frames = Vec::new();
    let mut feed = |bytes: &[u8]| {
        framer.feed(bytes, |frame| {
            frames.push(frame.to_vec());
            ControlFlow::Break(())
        })
    };
    assert_eq!(feed(b"one\ntwo\nthree\n"), Ok(Fed::Stopped));
    assert_eq!(feed(b"four\n"), Ok(Fed::Stopped));
    assert_eq!(feed(b""), Err(FrameError::TooLong));
    assert_eq!(feed(b"six\n"), Err(FrameError::TooLong));
    assert_eq!(framer.held(), 0);
    assert_eq!(frames, [b"one", b"two"]);
}

// Limits.

/// Feeds byte by byte; the last one has to be the error, and no other.
fn fails_at(framing: Framing, bytes: &[u8], error: FrameError) {
    let mut framer = framer(framing);
    let (last, before) = bytes.split_last().unwrap();
    for byte in before {
        assert_eq!(feed(&mut framer, &[*byte]).1, Ok(Fed::Drained));
    }
    assert_eq!(feed(&mut framer, &[*last]), (vec![], Err(error)));
}

#[test]
fn a_line_may_have_the_maximum_and_no_more() {
    for ending in ["\n", "\r\n"] {
        let mut framer = framer(lines(5));
        assert_eq!(
            feed(&mut framer, format!("12345{ending}").as_bytes()).0,
            [b"12345"]
        );
        let (frames, fed) = feed(&mut framer, format!("1{ending}123456{ending}").as_bytes());
        assert_eq!(
            (frames, fed),
            (vec![b"1".to_vec()], Err(FrameError::TooLong))
        );
    }
    fails_at(lines(5), b"123456", FrameError::TooLong);
    fails_at(lines(5), b"12345\r6", FrameError::TooLong);
    fails_at(lines(5), b"12345\r\r", FrameError::TooLong);
    fails_at(lines(0), b"1", FrameError::TooLong);
}

#[test]
fn a_delimited_frame_may_have_the_maximum_and_no_more() {
    let mut framer = framer(delimited(b"aab", 5));
    assert_eq!(feed(&mut framer, b"12345aab").0, [b"12345"]);
    let (frames, fed) = feed(&mut framer, b"1aab123456aab");
    assert_eq!(
        (frames, fed),
        (vec![b"1".to_vec()], Err(FrameError::TooLong))
    );
    fails_at(delimited(b"aab", 5), b"123456", FrameError::TooLong);
    fails_at(delimited(b"aab", 5), b"12345a6", FrameError::TooLong);
    // The frame would be `12345a`.
    fails_at(delimited(b"aab", 5), b"12345aaa", FrameError::TooLong);
}

#[test]
fn a_length_may_say_the_maximum_and_no_more() {
    for bytes in [LengthBytes::One, LengthBytes::Two, LengthBytes::Four] {
        for endian in [Endian::Big, Endian::Little] {
            for inclusive in [false, true] {
                let prefix = LengthPrefix {
                    offset: 1,
                    inclusive,
                    ..prefix(bytes, endian, 50)
                };
                let header = 1 + bytes as usize;
                let most = vec![7; 50 - header];
                let framing = Framing::LengthPrefixed(prefix);
                let mut framer = framer(framing.clone());
                assert_eq!(
                    feed(&mut framer, &encode(&framing, &[&most])).0,
                    [&most[..]]
                );
                // The header is enough, and not even all of it where the small end comes first.
                let more = encode(&framing, &[&[&most[..], &[7]].concat()]);
                let known = match endian {
                    Endian::Big => header,
                    Endian::Little => 2,
                };
                fails_at(framing, &more[..known], FrameError::TooLong);
            }
        }
    }
}

#[test]
fn a_length_that_starts_too_large_is_not_waited_for() {
    let plain = prefix(LengthBytes::Four, Endian::Big, MIB);
    fails_at(Framing::LengthPrefixed(plain), b"G", FrameError::TooLong);
}

#[test]
fn a_length_less_than_its_header_is_malformed() {
    let inclusive = LengthPrefix {
        offset: 1,
        inclusive: true,
        ..prefix(LengthBytes::Two, Endian::Big, 100)
    };
    for length in 0..3 {
        let framing = Framing::LengthPrefixed(inclusive);
        fails_at(framing, &[9, 0, length], FrameError::Malformed);
    }
    let mut framer = framer(Framing::LengthPrefixed(inclusive));
    let (frames, fed) = feed(&mut framer, &[9, 0, 3, 9, 0, 4, 1, 9, 0, 2]);
    assert_eq!(
        (frames, fed),
        (vec![vec![], vec![1]], Err(FrameError::Malformed))
    );
}

#[test]
fn the_largest_numbers_overflow_nothing() {
    for endian in [Endian::Big, Endian::Little] {
        for inclusive in [false, true] {
            let plain = LengthPrefix {
                inclusive,
                ..prefix(LengthBytes::Four, endian, usize::MAX)
            };
            let mut most = framer(Framing::LengthPrefixed(plain));
            let fed = feed(&mut most, &[0xff; 100]).1;
            // On 32 bits, what follows the header is more than there can be.
            if usize::BITS > 32 || inclusive {
                assert_eq!((fed, most.held()), (Ok(Fed::Drained), 100));
            } else {
                assert_eq!(fed, Err(FrameError::TooLong));
            }
            let mut far = LengthPrefix {
                offset: usize::MAX - 4,
                ..plain
            };
            let mut waiting = framer(Framing::LengthPrefixed(far));
            assert_eq!(count(&mut waiting, &[0xff; 100]), 0);
            assert_eq!(waiting.held(), 100);
            for offset in [usize::MAX - 3, usize::MAX] {
                far.offset = offset;
                fails_at(Framing::LengthPrefixed(far), &[0], FrameError::TooLong);
            }
        }
    }
    for framing in [lines(usize::MAX), delimited(b"ab", usize::MAX)] {
        assert_eq!(count(&mut framer(framing), b"xxxxxaxxxx"), 0);
    }
}

#[test]
fn a_header_longer_than_the_maximum_is_too_long() {
    let framing = Framing::LengthPrefixed(prefix(LengthBytes::Four, Endian::Big, 3));
    let mut framer = framer(framing.clone());
    assert_eq!(count(&mut framer, b""), 0);
    fails_at(framing, &[0], FrameError::TooLong);
}

#[test]
fn an_empty_delimiter_cuts_nothing() {
    let mut framer = framer(delimited(b"", 10));
    assert_eq!(feed(&mut framer, b""), (vec![], Ok(Fed::Drained)));
    assert_eq!(
        feed(&mut framer, b"a"),
        (vec![], Err(FrameError::Malformed))
    );
}

#[test]
fn errors_say_what_is_wrong() {
    let errors = [FrameError::TooLong, FrameError::Malformed];
    assert_eq!(
        errors.map(|error| error.to_string()),
        [
            "a frame is longer than the maximum",
            "the bytes cannot be a frame"
        ]
    );
}

// Linear time. A framer that looked again at what it holds, or moved it, would do so some 10¹² times here, and take
// minutes instead of milliseconds.

const HELD: usize = 16 * MIB;
const FEEDS: usize = 64 * KIB;

#[test]
fn bytes_that_come_one_by_one_are_not_looked_at_again() {
    let long = [&[b'-'; 80][..], b"\n"].concat();
    let far = LengthPrefix {
        offset: HELD + FEEDS,
        ..prefix(LengthBytes::One, Endian::Big, usize::MAX)
    };
    let cases: [(Framing, u8, &[u8]); 5] = [
        (lines(usize::MAX), b'\r', b"\n"),
        (delimited(b"aab", usize::MAX), b'a', b"ab"),
        (delimited(b"aab", usize::MAX), b'x', b"aab"),
        (delimited(&long, usize::MAX), b'-', b"\n"),
        (Framing::LengthPrefixed(far), b'x', b"\0"),
    ];
    for (framing, filler, end) in cases {
        let mut framer = framer(framing);
        assert_eq!(count(&mut framer, &vec![filler; HELD]), 0);
        for fed in 1..=FEEDS {
            assert_eq!(count(&mut framer, &[filler]), 0);
            assert_eq!(framer.held(), HELD + fed);
        }
        assert_eq!(count(&mut framer, end), 1);
        assert_eq!(framer.held(), 0);
    }
}

#[test]
fn a_stop_at_every_frame_does_not_move_the_rest_each_time() {
    let plain = Framing::LengthPrefixed(prefix(LengthBytes::One, Endian::Big, 256));
    for framing in [lines(HELD), delimited(b"\n\n", HELD), plain] {
        let frame = encode(&framing, &[b""]);
        let mut all = frame.repeat(FEEDS);
        all.resize(all.len() + HELD, b'x');
        let mut framer = framer(framing);
        let mut bytes = &all[..];
        for fed in 1..=FEEDS {
            let stopped = framer.feed(bytes, |_| ControlFlow::Break(()));
            assert_eq!(stopped, Ok(Fed::Stopped));
            assert_eq!(framer.held(), all.len() - fed * frame.len());
            bytes = &[];
        }
    }
}

#[test]
fn a_stop_at_every_piece_does_not_move_the_rest_each_time() {
    let mut framer = framer(lines(HELD));
    let mut all = vec![b'\n'; HELD];
    for _ in 0..FEEDS {
        let stopped = framer.feed(&all, |_| ControlFlow::Break(()));
        assert_eq!((stopped, framer.held()), (Ok(Fed::Stopped), HELD - 1));
        all.truncate(1);
    }
}

// Memory.

thread_local! {
    /// Bytes this thread has allocated and not given back.
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    /// How often it has allocated.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes to `System` as it came; the counters are neither allocated nor dropped.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.set(IN_USE.get() + layout.size() as isize);
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.set(IN_USE.get() - layout.size() as isize);
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        IN_USE.set(IN_USE.get() + size as isize - layout.size() as isize);
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What a framer has allocated by itself.
struct Memory {
    in_use: isize,
    allocations: usize,
}

impl Memory {
    fn now() -> Memory {
        Memory {
            in_use: IN_USE.get(),
            allocations: ALLOCATIONS.get(),
        }
    }

    fn since(&self) -> usize {
        usize::try_from(IN_USE.get() - self.in_use).unwrap()
    }

    fn allocations(&self) -> usize {
        ALLOCATIONS.get() - self.allocations
    }
}

#[test]
fn nothing_is_allocated_for_whole_frames() {
    let plain = Framing::LengthPrefixed(prefix(LengthBytes::One, Endian::Big, 10));
    for framing in [Framing::Raw, lines(10), delimited(b"::", 10), plain] {
        let bytes = encode(&framing, &[b"one", b"", b"two", b"three"]);
        let framing = Arc::new(framing);
        let memory = Memory::now();
        let mut framer = Framer::new(framing);
        for _ in 0..10 {
            assert!(count(&mut framer, &bytes) > 0);
        }
        assert_eq!(memory.allocations(), 0);
    }
}

#[test]
fn memory_is_given_back_when_a_large_frame_is_whole() {
    for framing in [lines(MIB), delimited(b"aab", MIB)] {
        let end = encode(&framing, &[b""]);
        let mut framer = framer(framing);
        let large = vec![b'x'; MIB];
        let memory = Memory::now();
        assert_eq!(count(&mut framer, &large), 0);
        assert!(memory.since() >= MIB);
        assert_eq!(count(&mut framer, &end), 1);
        assert!(memory.since() <= KIB, "{}", memory.since());
        // And with a little of the next one held.
        assert_eq!(count(&mut framer, &large), 0);
        assert_eq!(count(&mut framer, &[&end[..], b"next"].concat()), 1);
        assert_eq!(framer.held(), 4);
        assert!(memory.since() <= KIB, "{}", memory.since());
    }
}

#[test]
fn memory_is_given_back_when_a_stop_is_drained() {
    let mut framer = framer(lines(10));
    let many = b"1234567\n".repeat(MIB / 8);
    let memory = Memory::now();
    let mut fed = framer.feed(&many, |_| ControlFlow::Break(()));
    assert!(memory.since() >= MIB - 8);
    while fed == Ok(Fed::Stopped) {
        fed = framer.feed(&[], |_| ControlFlow::Break(()));
        assert!(memory.since() <= KIB.max(4 * framer.held()) + 2 * 8);
    }
    assert!(memory.since() <= KIB);
}

#[test]
fn memory_is_given_back_at_an_error() {
    let mut framer = framer(lines(MIB));
    let memory = Memory::now();
    let large = vec![b'x'; MIB];
    assert_eq!(count(&mut framer, &large), 0);
    drop(large);
    assert!(memory.since() >= MIB);
    assert_eq!(feed(&mut framer, b"x").1, Err(FrameError::TooLong));
    assert_eq!(memory.since(), 0);
}

#[test]
fn memory_is_not_taken_on_a_peer_s_word() {
    let plain = prefix(LengthBytes::Four, Endian::Big, usize::MAX);
    let mut framer = framer(Framing::LengthPrefixed(plain));
    let memory = Memory::now();
    assert_eq!(count(&mut framer, &[0x7f, 0xff, 0xff, 0xff, 1, 2, 3]), 0);
    assert!(memory.since() <= KIB);
}

#[test]
fn what_is_held_is_bounded_by_the_maximum() {
    let framings = [lines(KIB), delimited(b"aab", KIB)];
    for framing in framings {
        let end = encode(&framing, &[b""]);
        let mut framer = framer(framing);
        let memory = Memory::now();
        for _ in 0..10 {
            for _ in 0..KIB {
                assert_eq!(count(&mut framer, b"x"), 0);
                assert!(framer.held() <= KIB);
            }
            // What may yet end the frame is held too.
            assert_eq!(count(&mut framer, &end[..end.len() - 1]), 0);
            assert_eq!(framer.held(), KIB + end.len() - 1);
            assert_eq!(count(&mut framer, &end[end.len() - 1..]), 1);
            assert!(memory.since() <= 4 * KIB);
        }
    }
}

#[test]
fn a_buffer_that_grows_by_single_bytes_is_seldom_moved() {
    let mut framer = framer(lines(FEEDS));
    let memory = Memory::now();
    for _ in 0..FEEDS {
        assert_eq!(count(&mut framer, b"x"), 0);
    }
    assert!(memory.allocations() <= 20);
    assert!(memory.since() <= 2 * FEEDS);
}

// Anything.

fn max() -> impl Strategy<Value = usize> {
    prop_oneof![0..16usize, 16..300usize, Just(usize::MAX)]
}

fn any_prefix() -> impl Strategy<Value = LengthPrefix> {
    (
        select(vec![LengthBytes::One, LengthBytes::Two, LengthBytes::Four]),
        select(vec![Endian::Big, Endian::Little]),
        prop_oneof![
            8 => 0..6usize,
            1 => 200..300usize,
            1 => usize::MAX - 5..=usize::MAX
        ],
        any::<bool>(),
        any::<bool>(),
        max(),
    )
        .prop_map(
            |(bytes, endian, offset, inclusive, strip, max)| LengthPrefix {
                bytes,
                endian,
                offset,
                inclusive,
                strip,
                max,
            },
        )
}

/// A few letters only, so that delimiters overlap with themselves and are met.
fn letters(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(select(b"aaab\r\n".to_vec()), length)
}

fn any_framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        max().prop_map(lines),
        (letters(1..6), max()).prop_map(|(delimiter, max)| delimited(&delimiter, max)),
        max().prop_map(|max| delimited(b"aab", max)),
        any_prefix().prop_map(Framing::LengthPrefixed),
    ]
}

/// The frames a sender may send, and then anything.
fn any_stream() -> impl Strategy<Value = (Framing, Vec<u8>)> {
    let payloads = vec(letters(0..20), 0..12);
    let rest = prop_oneof![
        Just(Vec::new()),
        letters(0..60),
        vec(prop_oneof![0..9u8, any::<u8>()], 0..60)
    ];
    (any_framing(), payloads, rest).prop_map(|(framing, payloads, rest)| {
        let mut stream = match framing {
            // Not to be encoded.
            Framing::LengthPrefixed(prefix) if prefix.offset > 1000 => Vec::new(),
            Framing::LengthPrefixed(prefix) if prefix.offset > 200 && prefix.inclusive => {
                Vec::new()
            }
            _ => encode(
                &framing,
                &payloads.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            ),
        };
        stream.extend(rest);
        (framing, stream)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_bytes_in_any_pieces_are_cut_the_same(
        (framing, stream) in any_stream(),
        cuts in vec(any::<Index>(), 0..8),
        stopped in select(vec![Stopped::Drain, Stopped::PileUp]),
        stops in vec(any::<bool>(), 1..8),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]);
        let mut stops = stops.iter().cycle();
        check(&framing, pieces, stopped, || *stops.next().unwrap());
        check_stops(&framing, &stream.chunks(1).collect::<Vec<_>>());
    }
}
