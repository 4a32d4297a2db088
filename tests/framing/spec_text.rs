//! The text form and SocketQueue's headerFormat: what is accepted, what is refused, and that `Display` gives it back.

use super::cases::CASES;
use super::*;

const PRESETS: [&str; 9] =
    ["none", "ascii4", "ascii4-inclusive", "bin2", "bin2-inclusive", "bin4", "bcd2", "hex4", "nac"];

#[test]
fn a_preset_shows_its_name_and_equals_its_parts() {
    for name in PRESETS {
        assert_eq!(framing(name).to_string(), name);
        assert_eq!(framing(&format!("  {name}\n")), framing(name));
    }
    for (name, parts) in [
        ("none", "self"),
        ("ascii4", "length ( ascii 4 , counts = payload )"),
        ("ascii4-inclusive", "length(ascii 4, counts=payload+itself)"),
        ("bin4", "length(bin 4, add=0)"),
        ("nac", "length(bin 2,counts=after+payload),tpdu(60 0000 0000)"),
    ] {
        assert_eq!(framing(parts), framing(name));
        assert_eq!(framing(parts).to_string(), name);
    }
    assert_eq!(framing("none"), Framing::none());
}

#[test]
fn what_is_shown_parses_to_the_same_framing() {
    let more = [
        "self, trailer(03)",
        "header('a' 0d0a 'b'), until('~')",
        "fixed('it''s'), self",
        "fixed(27), self",
        "header('ISO041000017', '08': 'ISO041000067', 0800ff: '............'), self",
        "echo('AB', 'x': 'CD', 'y': 0000), length(hex 6, counts=payload+itself+after, add=-6), tpdu(6012345678), fixed(ff), trailer(00ff)",
        "length(bcd 3, counts=payload+before, add=65535), header(00)",
        "length(bin 2 le)",
    ];
    for text in CASES.iter().map(|case| case.text).chain(more) {
        let Ok(first) = Framing::parse(text) else {
            assert!(text.contains("''") || text.contains("before"), "{text}");
            continue;
        };
        let shown = first.to_string();
        assert_eq!(framing(&shown), first, "{text} is shown as {shown}");
        assert_eq!(framing(&shown).to_string(), shown);
    }
}

#[test]
fn the_text_that_is_shown_is_the_normal_form() {
    for (text, shown) in [
        (
            "length( bin 2 ,counts=trailer + payload ),trailer( 03 )",
            "length(bin 2, counts=payload+trailer), trailer(03)",
        ),
        (
            "length(bin 2, counts=payload+trailer+itself), trailer(03)",
            "length(bin 2, counts=all), trailer(03)",
        ),
        ("fixed(49534f), self", "fixed('ISO'), self"),
        ("fixed('IS' 4f), self", "fixed('ISO'), self"),
        ("fixed('ISO' 00), self", "fixed(49534f00), self"),
        ("tpdu(60AbCdEf00), self", "tpdu(60abcdef00), self"),
        ("length(bin 2 le, add=-3)", "length(bin 2 le, add=-3)"),
    ] {
        assert_eq!(framing(text).to_string(), shown);
    }
}

#[test]
fn what_is_no_framing_is_refused_with_the_part_that_is_wrong() {
    for (text, named) in [
        ("", "`none`"),
        ("ascii5", "did you mean `ascii4`?"),
        ("asci4", "did you mean `ascii4`?"),
        ("lenght(ascii 4)", "did you mean `length`?"),
        ("zzz", "there are none, ascii4"),
        ("ascii4, trailer(03)", "in a list of parts write `length(ascii 4)`"),
        ("bin2-inclusive, trailer(03)", "`bin2-inclusive` is a whole framing"),
        ("fixed('ISO')", "nothing tells where a message ends"),
        ("length(ascii 4), self", "`self`: stands beside `length`"),
        ("length(ascii 4), until(03)", "`until`: stands beside `length`"),
        ("self, until(03)", "`until`: stands beside `self`"),
        ("length(ascii 4), length(bin 2)", "`length`: stands beside `length`"),
        ("self, fixed('ISO')", "`fixed`: belongs to the header"),
        ("until(03), tpdu(6000000000)", "`tpdu`: belongs to the header"),
        ("length(ascii 4), trailer(03), fixed(00)", "`fixed`: nothing can follow `trailer`"),
        ("length(ascii 4), trailer(03), trailer(03)", "`trailer`: nothing can follow `trailer`"),
        ("until(03), trailer(03)", "`trailer` after `until`"),
        ("tpdu(6000000000), tpdu(6000000000), self", "`tpdu` stands twice"),
        ("tpdu(60000000), self", "`tpdu`: has 4 bytes, a TPDU has 5"),
        ("tpdu(600000000), self", "`tpdu`: bytes are hex pairs"),
        ("fixed(), self", "`fixed`: bytes are expected"),
        ("fixed(''), self", "`fixed`: bytes are expected"),
        ("fixed('ISO), self", "`fixed`: the closing ' is missing"),
        ("fixed('\u{e9}'), self", "`fixed`: between ' and ' only printable ASCII"),
        ("fixed('ISO'", "`fixed`: `)` is expected (at the end)"),
        ("fixed 'ISO'), self", "`fixed`: `(` is expected"),
        ("self self", "`self`: after it a comma"),
        ("self,", "a part is expected at the end"),
        ("length(4)", "`length`: begins with its code"),
        ("length(ascii)", "`length`: its size in bytes follows"),
        ("length(ascii 0)", "`length` has no bytes"),
        ("length(ascii 9)", "`length` has 9 bytes, 1 to 8 are possible"),
        ("length(bin 999999999999999999999)", "`length`: its size in bytes follows"),
        ("length(ascii 4 le)", "`length`: only `le` can follow the size, and only with bin"),
        ("length(ascii 4, counts=itself)", "`length`: counts must have payload in it"),
        ("length(ascii 4, counts=payload+payload)", "`length`: counts something twice"),
        ("length(ascii 4, counts=payload+all)", "`length`: counts can be"),
        ("length(ascii 4, counts=payload+header)", "`length`: counts can be"),
        ("length(ascii 4, counts=payload+trailer)", "`length` counts `trailer`, but there is no such part"),
        ("length(ascii 4, counts=payload+after), trailer(03)", "`length` counts `after`"),
        ("length(ascii 4, counts=payload+before)", "`length` counts `before`"),
        ("length(ascii 4, counts=all, counts=all)", "`length`: an option stands twice"),
        ("length(ascii 4, swap=true)", "`length`: its options are"),
        ("length(ascii 4, add=65536)", "`length`: add is a number"),
        ("length(ascii 4, add=x)", "`length`: add is a number"),
        ("length(ascii 1, add=9)", "`length` says at most 9 and 9 for an empty payload"),
        ("length(bin 1, counts=all), header(HEADER)", "no payload fits"),
        ("header('ab', 'x': 'c'), self", "`header` has 2 bytes, but alternative 1 has 1"),
        ("header('ab', '08': 'cd', '0800': 'ef'), self", "`header`: alternative 2 is never reached"),
        ("header('ab', '08' 'cd'), self", "`header`: `:` is expected"),
        ("until(0000000000000000000000000000000000), ", "a part is expected at the end"),
        ("until(0000000000000000000000000000000000)", "`until` has 17 bytes, at most 16 are allowed"),
        (
            "self, trailer(0000000000000000000000000000000000)",
            "`trailer` has 17 bytes, at most 16 are allowed",
        ),
    ] {
        let text = text.replace("HEADER", &"00".repeat(255));
        match Framing::parse(&text) {
            Err(error) => assert!(error.to_string().contains(named), "{text}: {error}"),
            Ok(framing) => panic!("{text} is taken for {framing}"),
        }
    }
}

#[test]
fn bounds_of_a_text_hold_at_the_bound_and_one_past_it() {
    let header = |len: usize| format!("fixed({}), self", "00".repeat(len));
    assert_eq!(framing(&header(256)).overhead(), 256);
    assert!(Framing::parse(&header(257)).unwrap_err().to_string().contains("257 bytes"));
    let halves = format!("fixed({0}), header({0}00), self", "00".repeat(128));
    assert!(Framing::parse(&halves).unwrap_err().to_string().contains("257 bytes in all"));

    let parts = |count: usize| format!("{}self", "fixed(00), ".repeat(count));
    assert_eq!(framing(&parts(32)).overhead(), 32);
    assert_eq!(Framing::parse(&parts(33)).unwrap_err().to_string(), "more than 32 parts");

    let choices = |count: usize| {
        format!("header(00{}), self", (0..count).map(|i| format!(", {i:02x}: 00")).collect::<String>())
    };
    assert_eq!(framing(&choices(16)).overhead(), 1);
    assert!(Framing::parse(&choices(17)).unwrap_err().to_string().contains("more than 16 alternatives"));

    assert!(Framing::parse(&format!("{}{}", "none", " ".repeat(4092))).is_ok());
    assert!(Framing::parse(&format!("{}{}", "none", " ".repeat(4093))).is_err());
    assert!(Framing::parse("length(ascii 4, add=65535)").is_err(), "9999 is less than what is added");
    assert!(Framing::parse("length(ascii 8, add=65535)").is_ok());
}

#[test]
fn a_header_format_is_the_framing_that_it_describes() {
    for (format, include, shown) in [
        ("length:n:4", false, "ascii4"),
        ("length:n:4", true, "ascii4-inclusive"),
        (" length : n : 4 ", false, "ascii4"),
        ("length:an:4", false, "ascii4"),
        ("length:n:4:0000", false, "ascii4"),
        ("length:b-hex:2", false, "bin2"),
        ("length:b-hex:2", true, "bin2-inclusive"),
        ("length:b:2", false, "bcd2"),
        ("length:b-hex:2,tpdu:b:5:6000010000", false, "length(bin 2), header(6000010000)"),
        ("length:b-hex:2,tpdu:b:5:6000010000", true, "length(bin 2, counts=all), header(6000010000)"),
        ("tic:an:8:A4M04000,length:n:4", false, "header('A4M04000'), length(ascii 4)"),
        ("length:n:4,headerLength:n:2,x:an:3:ISO", false, "length(ascii 4), header('09'), header('ISO')"),
        // n and an are filled with 0, ans with blanks, b with zero bytes, b-hex is a number.
        ("a:n:4:12,length:n:4", false, "header('0012'), length(ascii 4)"),
        ("a:an:4:X,length:n:4", false, "header('000X'), length(ascii 4)"),
        ("a:ans:4:X,length:n:4", false, "header('   X'), length(ascii 4)"),
        ("a:a:4:XYZ!,length:n:4", false, "header('XYZ!'), length(ascii 4)"),
        ("a:b:4:12ff,length:n:4", false, "header(000012ff), length(ascii 4)"),
        ("a:b-hex:2:258,length:n:4", false, "header(0102), length(ascii 4)"),
        ("headerLength:b-hex:10,length:n:4", false, "header(0000000000000000000e), length(ascii 4)"),
        ("headerLength:b:2,length:n:4,x:ans:8:a", false, "header(0014), length(ascii 4), header('       a')"),
    ] {
        match Framing::from_header_format(format, include) {
            Ok(framing) => assert_eq!(framing.to_string(), shown, "{format}"),
            Err(error) => panic!("{format}: {error}"),
        }
    }
}

#[test]
fn a_header_format_has_as_many_fields_as_a_text_has_parts() {
    let fields = |others: usize| format!("{}length:n:4", "x:n:1:0,".repeat(others));
    let most = Framing::from_header_format(&fields(31), false).unwrap();
    assert_eq!(framing(&most.to_string()), most);
    let error = Framing::from_header_format(&fields(32), false).unwrap_err().to_string();
    assert_eq!(error, "headerFormat has 33 fields, at most 32 are allowed");
}

#[test]
fn a_header_format_that_the_original_would_cut_or_choke_on_is_refused_by_field() {
    for (format, named) in [
        ("", "useHeader=false"),
        ("x:n:4:1", "no field `length`"),
        ("length", "`length` is not name:type:length"),
        ("length:n", "`length:n` is not name:type:length"),
        ("length:n:four", "the length of `length`"),
        ("length:n:0", "the length of `length`"),
        ("length:n:9", "`length`: at most 8 bytes"),
        ("length:ans:4", "`length`: type `ans` holds no number"),
        ("length:ll-n:4", "`length`: type `ll-n` holds no number"),
        ("length:n:4,length:n:4", "`length` stands twice"),
        ("length:n:4,x:n:2", "`x`: a default is needed"),
        ("length:n:4,x:n:2:", "`x`: a default is needed"),
        ("length:n:4,x:n:2:ab", "`x`: the default of type n"),
        ("length:n:4,x:n:2:123", "`x`: the default has 3 bytes, the field 2"),
        ("length:n:4,x:an:2:ABC", "`x`: the default has 3 bytes, the field 2"),
        ("length:n:4,x:b:2:123", "`x`: the default of type b"),
        ("length:n:4,x:b:1:1234", "`x`: the default has 2 bytes, the field 1"),
        ("length:n:4,x:b:2:zz", "`x`: the default of type b"),
        ("length:n:4,x:b-hex:1:256", "`x`: 256 does not fit into 1 bytes"),
        ("length:n:4,x:b-hex:1:ff", "`x`: the default of type b-hex"),
        ("length:n:4,x:a:2:A", "`x`: type a is not filled up"),
        ("length:n:4,x:ll-an:2:AB", "`x`: type `ll-an` cannot stand in a header"),
        ("length:n:4,x:an:2:\u{e9}", "`x`: the default is not ASCII"),
        ("headerLength:n:1,length:n:8,x:n:1:0", "`headerLength`: 10 does not fit"),
        ("length:n:1,x:an:200:A", "fits"),
        ("length:n:4,x:an:256:A", "the header has 260 bytes in all"),
    ] {
        let include = named == "fits";
        match Framing::from_header_format(format, include) {
            Err(error) => assert!(error.to_string().contains(named), "{format}: {error}"),
            Ok(framing) => panic!("{format} is taken for {framing}"),
        }
    }
}
