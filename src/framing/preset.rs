//! Framings that have a name.

/// Name and text form. `nac`: the usual framing of POS networks (jPOS's NACChannel), the length counting the TPDU; 60 is
/// the customary TPDU identifier, the addresses are 0 unless given by the text form.
pub(super) const PRESETS: [(&str, &str); 9] = [
    ("none", "self"),
    ("ascii4", "length(ascii 4)"),
    ("ascii4-inclusive", "length(ascii 4, counts=all)"),
    ("bin2", "length(bin 2)"),
    ("bin2-inclusive", "length(bin 2, counts=all)"),
    ("bin4", "length(bin 4)"),
    ("bcd2", "length(bcd 2)"),
    ("hex4", "length(hex 4)"),
    ("nac", "length(bin 2, counts=payload+after), tpdu(6000000000)"),
];

/// The text form of a preset.
pub(super) fn text_of(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(preset, _)| *preset == name).map(|(_, text)| *text)
}
