//! Rewrites a file so that it holds all of its mutants, each behind a switch: one build has them
//! all, where a build for each would take hours.
//!
//! An expression becomes `(if on(1) { its mutant } else if on(2) { another one } else { it })`, and
//! a function returns early if its body is replaced. What holds another mutant inside is written
//! out as it was in the mutants of its surroundings, since only one of them is ever on.

#![allow(clippy::wildcard_enum_match_arm, reason = "syntax is syn's: most of it is let be")]

use std::error::Error;
use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// One mutant of a file, as cargo-mutants lists it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The switch.
    pub number: usize,
    pub genre: String,
    /// What is replaced, in bytes of the file.
    pub replaced: Range<usize>,
    pub by: String,
}

/// A file with switches.
#[derive(Debug, Default)]
pub struct Switched {
    pub text: String,
    /// Where each mutant stands in it.
    pub mutants: Vec<(usize, Range<usize>)>,
    /// Where the mutants of one place stand, and what they are mutants of.
    pub places: Vec<(Range<usize>, Vec<usize>)>,
}

/// What is asked of a file's syntax.
#[derive(Debug, Default)]
pub struct Syntax {
    /// Operators and all their operands: precedence is that of the whole.
    chains: Vec<Range<usize>>,
    negations: Vec<Range<usize>>,
    structs: Vec<Range<usize>>,
    arms: Vec<Arm>,
    /// What is reached with a planted bug alone.
    planted: Vec<Range<usize>>,
    /// Guards that are true with a planted bug alone.
    planted_guards: Vec<Range<usize>>,
}

#[derive(Debug)]
struct Arm {
    whole: Range<usize>,
    pattern: Range<usize>,
    guard: Option<Range<usize>>,
}

/// How what stands somewhere is written with switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Body,
    Guard,
    Expression,
    /// Nothing stands there: an arm's guard comes there.
    NoGuard,
}

#[derive(Debug)]
struct Place {
    range: Range<usize>,
    kind: Kind,
    variants: Vec<(usize, String)>,
}

impl Syntax {
    pub fn of(text: &str) -> Result<Self, Box<dyn Error>> {
        let mut syntax = Self::default();
        syntax.visit_file(&syn::parse_file(text)?);
        Ok(syntax)
    }

    /// Whether nothing but a planted bug comes there, so that no test without them could tell.
    pub fn is_planted(&self, change: &Change) -> bool {
        let inside = |range: &Range<usize>| holds(range, &change.replaced);
        let never = change.genre == "MatchArmGuard" && change.by == "false";
        self.planted.iter().any(inside) || never && self.planted_guards.contains(&change.replaced)
    }

    /// The operands of operators that are taken together.
    fn chain(&mut self, expression: &syn::Expr) {
        match expression {
            syn::Expr::Binary(binary) => {
                self.chain(&binary.left);
                self.chain(&binary.right);
                self.note_planted(binary);
            }
            leaf => self.visit_expr(leaf),
        }
    }

    /// One side that decides alone as long as no bug is planted: the other may be anything.
    fn note_planted(&mut self, binary: &syn::ExprBinary) {
        let decides = match binary.op {
            syn::BinOp::And(_) => needs_planted,
            syn::BinOp::Or(_) => is_without_planted,
            _ => return,
        };
        if decides(&binary.left) {
            self.planted.push(bytes(binary.right.span()));
        } else if decides(&binary.right) {
            self.planted.push(bytes(binary.left.span()));
        }
    }

    /// Where a change is switched; nothing if it has to be built by itself.
    fn place(&self, text: &str, change: &Change) -> Option<Place> {
        let Change { number, replaced, by, .. } = change;
        let smallest = |ranges: &[Range<usize>]| {
            let around = ranges.iter().filter(|range| holds(range, replaced));
            around.min_by_key(|range| range.len()).cloned()
        };
        let (range, kind) = match change.genre.as_str() {
            "FnValue" => {
                return Some(Place {
                    range: replaced.clone(),
                    kind: Kind::Body,
                    variants: vec![(*number, by.clone())],
                });
            }
            "MatchArmGuard" => (replaced.clone(), Kind::Guard),
            "MatchArm" => return self.without_arm(change),
            "BinaryOperator" => (smallest(&self.chains)?, Kind::Expression),
            "UnaryOperator" => (smallest(&self.negations)?, Kind::Expression),
            "StructField" => (smallest(&self.structs)?, Kind::Expression),
            _ => return None,
        };
        let (before, after) = (&text[range.start..replaced.start], &text[replaced.end..range.end]);
        let variants = vec![(*number, format!("{before}{by}{after}"))];
        Some(Place { range, kind, variants })
    }

    /// An arm is gone if its guard is never true.
    fn without_arm(&self, change: &Change) -> Option<Place> {
        let arm = self.arms.iter().find(|arm| arm.whole.start == change.replaced.start)?;
        let (range, kind) = match &arm.guard {
            Some(guard) => (guard.clone(), Kind::Guard),
            None => (arm.pattern.end..arm.pattern.end, Kind::NoGuard),
        };
        Some(Place { range, kind, variants: vec![(change.number, "false".to_owned())] })
    }
}

impl<'ast> Visit<'ast> for Syntax {
    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        if has_let(binary) {
            // A pattern holds only right where it stands.
            self.visit_expr(&binary.left);
            self.visit_expr(&binary.right);
            self.note_planted(binary);
        } else {
            self.chains.push(bytes(binary.span()));
            self.chain(&binary.left);
            self.chain(&binary.right);
            self.note_planted(binary);
        }
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        self.negations.push(bytes(unary.span()));
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_struct(&mut self, expression: &'ast syn::ExprStruct) {
        self.structs.push(bytes(expression.span()));
        visit::visit_expr_struct(self, expression);
    }

    fn visit_expr_if(&mut self, branch: &'ast syn::ExprIf) {
        if needs_planted(&branch.cond) {
            self.planted.push(bytes(branch.then_branch.span()));
        }
        visit::visit_expr_if(self, branch);
    }

    fn visit_expr_match(&mut self, matched: &'ast syn::ExprMatch) {
        let is_rest = |arm: &syn::Arm| arm.guard.is_none() && matches!(arm.pat, syn::Pat::Wild(_));
        // Without it a guard that never fails is still one that may.
        if matched.arms.iter().any(is_rest) {
            let guard = |arm: &syn::Arm| arm.guard.as_ref().map(|(_, guard)| bytes(guard.span()));
            self.arms.extend(matched.arms.iter().map(|arm| Arm {
                whole: bytes(arm.span()),
                pattern: bytes(arm.pat.span()),
                guard: guard(arm),
            }));
        }
        visit::visit_expr_match(self, matched);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let guard = arm.guard.as_ref().map(|(_, guard)| guard);
        if let Some(guard) = guard.filter(|guard| needs_planted(guard)) {
            self.planted_guards.push(bytes(guard.span()));
            self.planted.push(bytes(arm.body.span()));
        }
        visit::visit_arm(self, arm);
    }
}

/// Writes the switches of all changes; those that cannot be switched are left out.
pub fn switched(text: &str, syntax: &Syntax, changes: &[Change], on: &str) -> Switched {
    let mut places: Vec<Place> = Vec::new();
    for place in changes.iter().filter_map(|change| syntax.place(text, change)) {
        match places.iter_mut().find(|it| it.range == place.range && it.kind == place.kind) {
            Some(known) => known.variants.extend(place.variants),
            None => places.push(place),
        }
    }
    places.sort_by_key(|it| (it.range.start, std::cmp::Reverse(it.range.end), it.kind));
    let mut switched = Switched::default();
    switched.write(text, 0..text.len(), &places, on);
    switched
}

impl Switched {
    /// The text of a range, in which these places are, outer ones first.
    fn write(&mut self, text: &str, range: Range<usize>, mut places: &[Place], on: &str) {
        let mut at = range.start;
        while let Some((place, rest)) = places.split_first() {
            let end = place.range.end;
            let inner = rest.iter().take_while(|it| it.range.start < end).count();
            let (inner, next) = rest.split_at(inner);
            self.text.push_str(&text[at..place.range.start]);
            let begun = self.text.len();
            self.write_place(text, place, inner, on);
            let numbers = place.variants.iter().map(|(number, _)| *number).collect();
            self.places.push((begun..self.text.len(), numbers));
            (at, places) = (end, next);
        }
        self.text.push_str(&text[at..range.end]);
    }

    fn write_place(&mut self, text: &str, place: &Place, inner: &[Place], on: &str) {
        let body = place.range.clone();
        match place.kind {
            Kind::Body => {
                for (number, by) in &place.variants {
                    self.write_variant(*number, &format!("if {on}({number}) {{ return "), by);
                    self.text.push_str("; }\n");
                }
                self.write(text, body, inner, on);
            }
            Kind::Guard | Kind::Expression => {
                self.text.push('(');
                for (number, by) in &place.variants {
                    self.write_variant(*number, &format!("if {on}({number}) {{ "), by);
                    self.text.push_str(" } else ");
                }
                self.text.push_str("{ ");
                self.write(text, body, inner, on);
                self.text.push_str(" })");
            }
            Kind::NoGuard => {
                for (number, _) in &place.variants {
                    self.write_variant(*number, " if ", &format!("!{on}({number})"));
                }
            }
        }
    }

    fn write_variant(&mut self, number: usize, before: &str, variant: &str) {
        self.text.push_str(before);
        let begun = self.text.len();
        self.text.push_str(variant);
        self.mutants.push((number, begun..self.text.len()));
    }

    /// Whom an error of the compiler is about that stands there: the mutants in it, or those of
    /// the smallest place around it.
    pub fn at(&self, range: &Range<usize>) -> Vec<usize> {
        let inside = self.mutants.iter().filter(|(_, mutant)| holds(mutant, range));
        let inside: Vec<usize> = inside.map(|(number, _)| *number).collect();
        if !inside.is_empty() {
            return inside;
        }
        let around = self.places.iter().filter(|(place, _)| holds(place, range));
        around.min_by_key(|(place, _)| place.len()).map_or(Vec::new(), |it| it.1.clone())
    }
}

fn bytes(span: Span) -> Range<usize> {
    span.byte_range()
}

fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn has_let(binary: &syn::ExprBinary) -> bool {
    let is_let = |side: &syn::Expr| match side {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(inner) => has_let(inner),
        _ => false,
    };
    is_let(&binary.left) || is_let(&binary.right)
}

/// Whether a condition is true with a planted bug alone.
fn needs_planted(condition: &syn::Expr) -> bool {
    match condition {
        syn::Expr::Call(call) => matches!(&*call.func, syn::Expr::Path(path)
            if path.path.segments.last().is_some_and(|it| it.ident == "planted")),
        syn::Expr::Paren(inner) => needs_planted(&inner.expr),
        syn::Expr::Binary(binary) => match binary.op {
            syn::BinOp::And(_) => needs_planted(&binary.left) || needs_planted(&binary.right),
            syn::BinOp::Or(_) => needs_planted(&binary.left) && needs_planted(&binary.right),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a condition is true unless a bug is planted.
fn is_without_planted(condition: &syn::Expr) -> bool {
    match condition {
        syn::Expr::Unary(unary) => {
            matches!(unary.op, syn::UnOp::Not(_)) && needs_planted(&unary.expr)
        }
        syn::Expr::Paren(inner) => is_without_planted(&inner.expr),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: usize, genre: &str, text: &str, what: &str, by: &str) -> Change {
        let start = text.find(what).expect("it stands there");
        let (genre, by) = (genre.to_owned(), by.to_owned());
        Change { number, genre, replaced: start..start + what.len(), by }
    }

    fn written(text: &str, changes: &[Change]) -> Switched {
        switched(text, &Syntax::of(text).expect("Rust"), changes, "on")
    }

    #[test]
    fn operators_change_with_the_precedence_of_the_whole() {
        let text = "fn f() -> bool { a && b || !c }";
        let changes = [
            change(1, "BinaryOperator", text, "&&", "||"),
            change(2, "BinaryOperator", text, "||", "&&"),
            change(3, "UnaryOperator", text, "!", ""),
        ];
        assert_eq!(
            written(text, &changes).text,
            "fn f() -> bool { (if on(1) { a || b || !c } else if on(2) { a && b && !c } else \
             { a && b || (if on(3) { c } else { !c }) }) }"
        );
    }

    #[test]
    fn a_body_is_left_early() {
        let text = "fn f() -> u64 { a + 1 }";
        let changes =
            [change(1, "FnValue", text, "a + 1", "0"), change(2, "BinaryOperator", text, "+", "-")];
        assert_eq!(
            written(text, &changes).text,
            "fn f() -> u64 { if on(1) { return 0; }\n(if on(2) { a - 1 } else { a + 1 }) }"
        );
    }

    #[test]
    fn an_arm_goes_by_its_guard() {
        let text = "fn f() { match a { 1 => b(), 2 if c => d(), _ => e() } }";
        let changes = [
            change(1, "MatchArm", text, "1 => b(),", ""),
            change(2, "MatchArm", text, "2 if c => d(),", ""),
            change(3, "MatchArmGuard", text, "c =>", "true"),
        ];
        let changes =
            changes.map(|it| Change { replaced: it.replaced.start..it.replaced.end, ..it });
        let mut changes = changes.to_vec();
        changes[2].replaced.end -= " =>".len();
        assert_eq!(
            written(text, &changes).text,
            "fn f() { match a { 1 if !on(1) => b(), 2 if (if on(2) { false } else if on(3) \
             { true } else { c }) => d(), _ => e() } }"
        );
    }

    #[test]
    fn a_pattern_is_not_taken_into_an_expression() {
        let text = "fn f() { if let Some(a) = b && a > 1 { c() } }";
        let changes = [
            change(1, "BinaryOperator", text, "&&", "||"),
            change(2, "BinaryOperator", text, ">", ">="),
        ];
        let written = written(text, &changes);
        let expected =
            "fn f() { if let Some(a) = b && (if on(2) { a >= 1 } else { a > 1 }) { c() } }";
        assert_eq!(written.text, expected);
        let at = expected.find("a >= 1").expect("it stands there");
        assert_eq!(written.at(&(at..at + 1)), [2]);
    }

    #[test]
    fn what_only_a_planted_bug_reaches_is_known() {
        let text = "fn f() { if planted(X) && a == b { c += 1 } else if e < f || !planted(Y) { \
                    d -= 1 } }";
        let syntax = Syntax::of(text).expect("Rust");
        let is_planted =
            |what: &str| syntax.is_planted(&change(1, "BinaryOperator", text, what, ""));
        assert!(is_planted("==") && is_planted("+=") && is_planted("<"));
        assert!(!is_planted("&&") && !is_planted("||") && !is_planted("-="));
    }
}
