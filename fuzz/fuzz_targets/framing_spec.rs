//! Text as a framing and as SocketQueue's headerFormat: what is accepted is shown as a text that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use socketqueue::framing::Framing;

fuzz_target!(|text: &str| {
    for framing in [
        Framing::parse(text),
        Framing::from_header_format(text, false),
        Framing::from_header_format(text, true),
    ]
    .into_iter()
    .flatten()
    {
        let shown = framing.to_string();
        assert_eq!(Framing::parse(&shown).as_ref(), Ok(&framing), "shown as {shown}");
    }
});
