//! Rounds of sides that take turns, what their figures come to, and whether that is a goal.

use crate::bench::samples::Spread;
use crate::bench::table::figure;
use anyhow::Result;

/// All rounds; each begins with another side, so that what a machine does meanwhile and what one
/// side leaves behind fall on all of them.
///
/// # Errors
/// When a side can't be measured.
pub fn rounds<S: Copy, T>(
    sides: &[S],
    rounds: u32,
    mut take: impl FnMut(S) -> Result<T>,
) -> Result<Vec<(S, Vec<T>)>> {
    let mut all: Vec<(S, Vec<T>)> = sides.iter().map(|side| (*side, Vec::new())).collect();
    for round in 0..rounds as usize {
        let first = round % all.len().max(1);
        all.rotate_left(first);
        for (side, taken) in &mut all {
            taken.push(take(*side)?);
        }
        all.rotate_right(first);
    }
    Ok(all)
}

/// The median of some values with their extremes; zeros when there are none.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
        return Spread::default();
    };
    let (below, above) = ((values.len() - 1) / 2, values.len() / 2);
    Spread { median: f64::midpoint(values[below], values[above]), min, max }
}

/// One figure of every round of ours divided by the same of another side, round by round.
pub fn ratio<T>(ours: &[T], others: &[T], of: impl Fn(&T) -> f64) -> Spread {
    spread(ours.iter().zip(others).map(|(ours, other)| of(ours) / of(other)))
}

/// `0.41 (0.39..0.55)`, or one number where there was one round.
pub fn shown(spread: Spread) -> String {
    let Spread { median, min, max } = spread;
    let middle = figure(median);
    if min == max { middle } else { format!("{middle} ({}..{})", figure(min), figure(max)) }
}

/// A figure that should be reached. Nothing fails when it is not: a busy machine misses goals, too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Less than this.
    Under(f64),
    /// This or more.
    AtLeast(f64),
}

impl Goal {
    /// Whether a figure reaches it.
    pub fn is_met(self, figure: f64) -> bool {
        match self {
            Self::Under(bound) => figure < bound,
            Self::AtLeast(bound) => figure >= bound,
        }
    }

    /// The word for that.
    pub fn verdict(self, figure: f64) -> &'static str {
        if self.is_met(figure) { "met" } else { "missed" }
    }

    /// The goal with the word: `< 10: met`.
    pub fn judged(self, figure: f64) -> String {
        let (sign, bound) = match self {
            Self::Under(bound) => ("<", bound),
            Self::AtLeast(bound) => (">=", bound),
        };
        format!("{sign} {bound}: {}", self.verdict(figure))
    }
}

/// The first two lines of a table; a column whose name begins with `>` has figures.
pub fn head(columns: &[&str]) -> String {
    let names: Vec<String> =
        columns.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
    let lines: Vec<String> = columns
        .iter()
        .map(|name| if name.starts_with('>') { "--:" } else { "---" }.to_owned())
        .collect();
    format!("{}{}", row(&names), row(&lines))
}

/// A line of a table.
pub fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_take_turns() {
        let mut order = String::new();
        let all = rounds(&['a', 'b', 'c'], 3, |side| {
            order.push(side);
            Ok(order.len())
        });
        assert_eq!(order, "abcbcacab");
        let all = all.unwrap();
        assert_eq!(all, [('a', vec![1, 6, 8]), ('b', vec![2, 4, 9]), ('c', vec![3, 5, 7])]);
        let failed = rounds(&['a', 'b'], 2, |side| match side {
            'a' => Ok(()),
            _ => anyhow::bail!("it does not start"),
        });
        assert_eq!(failed.unwrap_err().to_string(), "it does not start");
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(spread([9.0, 1.0, 3.0]), Spread { median: 3.0, min: 1.0, max: 9.0 });
        assert_eq!(spread([4.0, 1.0, 2.0, 9.0]).median, 3.0);
        assert_eq!(spread([]), Spread::default());
        assert_eq!(shown(spread([0.39, 0.41, 0.55])), "0.410 (0.390..0.550)");
        assert_eq!(shown(spread([12.0])), "12.0");
    }

    #[test]
    fn ratios_are_those_of_single_rounds() {
        let found = ratio(&[3.0, 2.0, 8.0], &[1.0, 4.0, 4.0], |rate| *rate);
        assert_eq!(found, Spread { median: 2.0, min: 0.5, max: 3.0 });
    }

    #[test]
    fn goals_are_judged_in_words() {
        assert_eq!(Goal::Under(10.0).judged(9.9), "< 10: met");
        assert_eq!(Goal::Under(10.0).judged(10.0), "< 10: missed");
        assert_eq!(Goal::AtLeast(0.8).judged(0.8), ">= 0.8: met");
        assert_eq!(Goal::AtLeast(0.8).judged(0.79), ">= 0.8: missed");
        // Nothing was measured.
        assert!(!Goal::Under(1.0).is_met(f64::NAN) && !Goal::AtLeast(1.0).is_met(f64::NAN));
    }

    #[test]
    fn tables_are_markdown() {
        let text = format!("{}{}", head(&["side", ">rate"]), row(&["a".into(), "1".into()]));
        assert_eq!(text, "| side | rate |\n| --- | --: |\n| a | 1 |\n");
    }
}
