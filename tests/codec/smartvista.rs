//! The table of SocketQueue's `smartVista` template.

use std::sync::Arc;

use socketqueue::iso8583::Schema;
use socketqueue::iso8583::schema::{BitmapForm, Encoding};

use crate::with_types;

const FIELDS: &str = "2 ll-n 19; 3 n 6; 4 n 12; 5 n 12; 6 n 12; 7 n 10; 8 n 8; 9 n 8; 10 n 8; 11 n 6; 12 n 12; \
    13 n 4; 14 n 6; 15 n 4; 22 n 3; 24 n 3; 25 n 2; 32 ll-n 11; 35 ll-an 37; 37 ans 12; 38 ans 6; 39 n 3; 41 n 8; \
    42 n 15; 46 ll-an 999; 49 n 3; 52 ll-bin-an 8; 54 ll-an 120; 55 ll-bin-an 255; 62 ll-an 999; 64 ans 8; 70 n 3";

/// The dialect's schema.
pub fn schema() -> Arc<Schema> {
    with_bitmap("bitmap")
}

/// The same with another type of bitmap, as `overrides` can set it.
pub fn with_bitmap(type_name: &str) -> Arc<Schema> {
    let bitmap = BitmapForm::of_type(type_name, 8).unwrap();
    with_types(Schema::new(Encoding::of_mti("n", 4).unwrap(), bitmap), FIELDS)
}
