use crate::display::lines::Detail;
use crate::display::{Output, Screen, Surroundings, Watch};

const TERMINAL: Surroundings =
    Surroundings { out_is_terminal: true, err_is_terminal: true, no_color: false, dumb: false };

fn watch(around: Surroundings, output: Output, flags: [bool; 3]) -> Watch {
    let [dashboard, debug, quiet] = flags;
    Screen::choose(around, output, dashboard, debug, quiet).watch
}

#[test]
fn a_terminal_has_a_moving_line_and_a_pipe_has_lines() {
    let piped = Surroundings { err_is_terminal: false, ..TERMINAL };
    let dumb = Surroundings { dumb: true, ..TERMINAL };
    assert_eq!(watch(TERMINAL, Output::Text, [false; 3]), Watch::Bar);
    assert_eq!(watch(piped, Output::Text, [false; 3]), Watch::Lines(Detail::Normal));
    assert_eq!(watch(dumb, Output::Text, [false; 3]), Watch::Lines(Detail::Normal));
    assert_eq!(watch(TERMINAL, Output::Text, [true, false, false]), Watch::Dashboard);
    assert_eq!(watch(piped, Output::Text, [true, false, false]), Watch::Lines(Detail::Normal));
    assert_eq!(watch(piped, Output::Text, [false, true, false]), Watch::Lines(Detail::Debug));
    assert_eq!(watch(TERMINAL, Output::Text, [false, false, true]), Watch::Lines(Detail::Quiet));
}

#[test]
fn json_is_never_drawn_through() {
    let redirected = Surroundings { out_is_terminal: false, ..TERMINAL };
    assert_eq!(watch(TERMINAL, Output::Json, [false; 3]), Watch::Nothing);
    assert_eq!(watch(redirected, Output::Json, [false; 3]), Watch::Bar);
}

#[test]
fn colour_needs_a_terminal_that_wants_it() {
    let styles = |around| {
        let screen = Screen::choose(around, Output::Text, false, false, false);
        (screen.out_style().is_coloured(), screen.err_style().is_coloured())
    };
    assert_eq!(styles(TERMINAL), (true, true));
    assert_eq!(styles(Surroundings { no_color: true, ..TERMINAL }), (false, false));
    assert_eq!(styles(Surroundings { dumb: true, ..TERMINAL }), (false, false));
    assert_eq!(styles(Surroundings { out_is_terminal: false, ..TERMINAL }), (false, true));
}
