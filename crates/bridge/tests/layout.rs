//! The layout, and its TypeScript twin.
#![cfg(not(loom))]

use std::process::Command;

use miolo_bridge::Layout;
use miolo_bridge::layout::*;

const SIZES: [(u32, u32, u32); 8] = [
    (0, 0, 0),
    (1, 1, 1),
    (3, 5, 17),
    (4096, 1024, 1000),
    (4097, 65_536, 1 << 20),
    (MAX_RECORDS - 1, MAX_RECORDS, MAX_REGISTRATIONS),
    (MAX_RECORDS + 1, 2, MAX_REGISTRATIONS + 1),
    (u32::MAX, u32::MAX, u32::MAX),
];

#[test]
fn regions_follow_each_other_on_lines_of_their_own() {
    for (events, commands, registrations) in SIZES {
        let layout = Layout::new(events, commands, registrations);
        let events_end = layout.event_ring + layout.event_records as usize * RECORD_WORDS;
        let commands_end = layout.command_ring + layout.command_records as usize * RECORD_WORDS;
        let readiness_end = layout.readiness + layout.registrations as usize;
        assert!(layout.event_ring >= METRICS + 2 * METRIC_CAPACITY);
        assert!((events_end..events_end + 16).contains(&layout.command_ring));
        assert!((commands_end..commands_end + 16).contains(&layout.readiness));
        assert!((readiness_end..readiness_end + 16).contains(&layout.words));
        for start in [
            layout.event_ring,
            layout.command_ring,
            layout.readiness,
            layout.words,
        ] {
            assert_eq!(start % 16, 0);
        }
        assert!(
            layout.event_records.is_power_of_two()
                && layout.event_records >= events.min(MAX_RECORDS)
        );
        assert!(layout.command_records.is_power_of_two());
        assert!(u32::try_from(layout.words).is_ok());
    }
}

#[test]
fn typescript_has_the_constants_and_their_docs() {
    let typescript = typescript();
    for expected in [
        format!("/** Events published; Rust writes. */\nexport const EVENT_TAIL = {EVENT_TAIL}\n"),
        format!("\nexport const EVENT_TICK = {EVENT_TICK}\n"),
        format!("\nexport const GENERATION_MASK = {GENERATION_MASK}\n"),
        format!("\nexport const LANES_WORDS = {LANES_WORDS}\n"),
    ] {
        assert!(typescript.contains(&expected), "{expected}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri reads no files")]
fn the_typescript_module_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ts/bridge/layout.ts");
    let module = std::fs::read_to_string(path).expect(path);
    let hint = "cargo run -p miolo-bridge --example layout > ts/bridge/layout.ts";
    assert!(
        module.replace("\r\n", "\n") == typescript(),
        "{path} is stale: {hint}"
    );
}

/// Runs the TypeScript function, stripped of its types, where there is a Node.js.
#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn both_languages_lay_out_alike() {
    let typescript = typescript();
    let (before, interface) = typescript
        .split_once("export interface")
        .expect("an interface");
    let (_, after) = interface.split_once("\n}\n").expect("its end");
    let mut script = format!("{before}{after}")
        .replace(": number", "")
        .replace(": Layout", "");
    for (events, commands, registrations) in SIZES {
        script += &format!(
            "console.log(Object.values(layout({events}, {commands}, {registrations})).join(' '))\n"
        );
    }
    let output = match Command::new("node")
        .args(["--input-type=module", "-e", &script])
        .output()
    {
        Ok(output) => output,
        Err(error) => return eprintln!("skipped, no Node.js: {error}"),
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let expected = SIZES.map(|(events, commands, registrations)| {
        let l = Layout::new(events, commands, registrations);
        format!(
            "{} {} {} {} {} {} {}",
            l.event_records,
            l.command_records,
            l.registrations,
            l.event_ring,
            l.command_ring,
            l.readiness,
            l.words
        )
    });
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}
