//! Figures as people read them.

/// Bytes, with a unit.
pub(crate) fn bytes(bytes: f64) -> String {
    match bytes {
        b if b >= f64::from(1 << 30) => format!("{:.1} GiB", b / f64::from(1 << 30)),
        b if b >= f64::from(1 << 20) => format!("{:.1} MiB", b / f64::from(1 << 20)),
        b if b >= 1024.0 => format!("{:.1} KiB", b / 1024.0),
        b => format!("{b:.0} B"),
    }
}

/// A count, shortened.
pub(crate) fn count(count: f64) -> String {
    match count {
        c if c >= 1e6 => format!("{:.1} M", c / 1e6),
        c if c >= 1e4 => format!("{:.1} k", c / 1e3),
        c => format!("{c:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([1023.0, 65_536.0, 3e6, 5e9].map(bytes), ["1023 B", "64.0 KiB", "2.9 MiB", "4.7 GiB"]);
        assert_eq!([0.0, 9_999.0, 12_345.0, 77e6].map(count), ["0", "9999", "12.3 k", "77.0 M"]);
    }
}
