//! Whether a condition can be decided at all: each name known, each operator fit for its operands,
//! the result a boolean. What is inside `arguments` and `claims` is known only when somebody calls,
//! and fits anything here.
//!
//! What could take long is refused too: one loop in another, loops that build lists, patterns that
//! the caller brings along.

use std::fmt;

use cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators},
};

/// Loops and calls inside each other.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    Null,
    List,
    Map,
    /// What is known only at the call.
    Any,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::Null => "null",
            Self::List => "list",
            Self::Map => "map",
            Self::Any => "any",
        })
    }
}

use Type::{
    Any, Bool, Bytes, Double, Duration, Int, List, Map, Null, String as Text, Timestamp, Uint,
};

/// What a condition may speak of.
const NAMES: [(&str, Type); 8] = [
    ("caller", Text),
    ("action", Text),
    ("target", Text),
    ("server", Text),
    ("tool", Text),
    ("arguments", Map),
    ("time", Timestamp),
    ("claims", Map),
];

/// Functions, what they take (the receiver first), and what they give.
const FUNCTIONS: &[(&str, &[&[Type]], Type)] = &[
    ("size", &[&[Text, Bytes, List, Map]], Int),
    ("startsWith", &[&[Text], &[Text]], Bool),
    ("endsWith", &[&[Text], &[Text]], Bool),
    ("contains", &[&[Text], &[Text]], Bool),
    ("matches", &[&[Text], &[Text]], Bool),
    ("timestamp", &[&[Text, Timestamp]], Timestamp),
    ("duration", &[&[Text, Duration]], Duration),
    (
        "string",
        &[&[Bool, Int, Uint, Double, Text, Timestamp]],
        Text,
    ),
    ("int", &[&[Int, Uint, Double, Text]], Int),
    ("double", &[&[Int, Uint, Double, Text]], Double),
];

/// What a time is asked for, with a time zone or without.
const PARTS_OF_TIME: [&str; 8] = [
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
];

/// Checks a condition. The error says what does not fit.
pub(super) fn check(expression: &IdedExpr) -> Result<(), String> {
    match (Scope { loops: Vec::new() }).of(expression, 0)? {
        Bool => Ok(()),
        Any => Err(
            "its result must be a boolean, and this may be anything: compare it (`… == true`)"
                .to_owned(),
        ),
        other => Err(format!(
            "its result must be a boolean, and this is a {other}"
        )),
    }
}

/// The names of the loops around an expression.
struct Scope<'a> {
    loops: Vec<(&'a str, Type)>,
}

impl<'a> Scope<'a> {
    fn of(&mut self, expression: &'a IdedExpr, depth: usize) -> Result<Type, String> {
        if depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} levels"));
        }
        let depth = depth + 1;
        match &expression.expr {
            Expr::Literal(literal) => Ok(of_literal(literal)),
            Expr::Ident(name) => self.of_name(name),
            Expr::List(list) => {
                for element in &list.elements {
                    self.of(element, depth)?;
                }
                Ok(List)
            }
            Expr::Select(select) => match self.of(&select.operand, depth)? {
                Map | Any if select.test => Ok(Bool),
                Map | Any => Ok(Any),
                other => Err(format!("a {other} has no `.{}`", select.field)),
            },
            Expr::Call(call) => self.of_call(call, depth),
            Expr::Comprehension(inner) => self.of_loop(inner, depth),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                Err("it builds a map or a message, for which there is no use here".to_owned())
            }
        }
    }

    fn of_name(&self, name: &str) -> Result<Type, String> {
        let mut known = self.loops.iter().rev().chain(&NAMES);
        let found = known.find(|(known, _)| *known == name);
        found.map(|(_, of)| *of).ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name).join(", ");
            format!("`{name}` is no name here; there are {names}")
        })
    }

    fn of_loop(&mut self, inner: &'a ComprehensionExpr, depth: usize) -> Result<Type, String> {
        if !self.loops.is_empty() {
            return Err("a loop in another (all, exists, exists_one): one is the most".to_owned());
        }
        match self.of(&inner.iter_range, depth)? {
            List | Map | Any => {}
            other => return Err(format!("nobody can loop over a {other}")),
        }
        let gathered = self.of(&inner.accu_init, depth)?;
        if gathered == List {
            return Err("`map` and `filter` build lists: use all, exists, exists_one".to_owned());
        }
        let names = [Some(&inner.iter_var), inner.iter_var2.as_ref()];
        let own = names.into_iter().flatten().map(|name| (name.as_str(), Any));
        self.loops.extend(own);
        self.loops.push((inner.accu_var.as_str(), gathered));
        for part in [&inner.loop_cond, &inner.loop_step] {
            self.of(part, depth)?;
        }
        let result = self.of(&inner.result, depth);
        self.loops.clear();
        result
    }

    fn of_call(&mut self, call: &'a CallExpr, depth: usize) -> Result<Type, String> {
        let mut given = Vec::with_capacity(call.args.len() + 1);
        for argument in call.target.as_deref().into_iter().chain(&call.args) {
            given.push(self.of(argument, depth)?);
        }
        if call.func_name == "matches" {
            let pattern = call.args.last().map(|argument| &argument.expr);
            if !matches!(pattern, Some(Expr::Literal(LiteralValue::String(_)))) {
                return Err("`matches` takes its pattern as a text written here".to_owned());
            }
        }
        of_function(&call.func_name, &given)
    }
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Bool,
        LiteralValue::Bytes(_) => Bytes,
        LiteralValue::Double(_) => Double,
        LiteralValue::Int(_) => Int,
        LiteralValue::Null => Null,
        LiteralValue::String(_) => Text,
        LiteralValue::UInt(_) => Uint,
    }
}

fn of_function(name: &str, given: &[Type]) -> Result<Type, String> {
    let is = |of: Type, any: &[Type]| of == Any || any.contains(&of);
    let misfit = || {
        let given: Vec<String> = given.iter().map(ToString::to_string).collect();
        format!("`{}` does not take {}", spelt(name), given.join(" and "))
    };
    match (name, given) {
        (operators::LOGICAL_AND | operators::LOGICAL_OR, [a, b])
            if is(*a, &[Bool]) && is(*b, &[Bool]) =>
        {
            Ok(Bool)
        }
        (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [a]) if is(*a, &[Bool]) => {
            Ok(Bool)
        }
        (operators::EQUALS | operators::NOT_EQUALS, [a, b]) if alike(*a, *b) => Ok(Bool),
        (
            operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS,
            [a, b],
        ) if alike(*a, *b) && !matches!(a, List | Map | Null) => Ok(Bool),
        (operators::IN, [_, among]) if is(*among, &[List, Map]) => Ok(Bool),
        (operators::INDEX, [of, _]) if is(*of, &[List, Map]) => Ok(Any),
        (operators::CONDITIONAL, [a, b, c]) if is(*a, &[Bool]) && alike(*b, *c) => {
            Ok(if b == c { *b } else { Any })
        }
        (operators::NEGATE, [a]) if is(*a, &[Int, Double, Duration]) => Ok(*a),
        (
            operators::ADD
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO,
            [a, b],
        ) => arithmetic(name, *a, *b).ok_or_else(misfit),
        (part, [of, zone @ ..]) if PARTS_OF_TIME.contains(&part) => {
            let zone_fits = zone.is_empty() || matches!(zone, [zone] if is(*zone, &[Text]));
            (is(*of, &[Timestamp]) && zone_fits)
                .then_some(Int)
                .ok_or_else(misfit)
        }
        _ => {
            let known = FUNCTIONS.iter().find(|(known, ..)| *known == name);
            let Some((_, takes, gives)) = known else {
                return if name.contains(['_', '@']) {
                    Err(misfit())
                } else {
                    Err(format!("`{name}` is no function here"))
                };
            };
            let fits = takes.len() == given.len()
                && given
                    .iter()
                    .zip(*takes)
                    .all(|(given, takes)| is(*given, takes));
            fits.then_some(*gives).ok_or_else(misfit)
        }
    }
}

/// Whether two can be compared: of one type, or both numbers.
fn alike(a: Type, b: Type) -> bool {
    let number = |of| matches!(of, Int | Uint | Double);
    a == b || a == Any || b == Any || a == Null || b == Null || (number(a) && number(b))
}

fn arithmetic(name: &str, a: Type, b: Type) -> Option<Type> {
    match (a, b) {
        (Timestamp, Duration) => matches!(name, operators::ADD | operators::SUBSTRACT).then_some(a),
        (Timestamp, Timestamp) => (name == operators::SUBSTRACT).then_some(Duration),
        (Duration, Duration) => matches!(name, operators::ADD | operators::SUBSTRACT).then_some(a),
        (Text, Text) => (name == operators::ADD).then_some(Text),
        (Int | Uint | Double, _) if a == b => Some(a),
        (Any, Any | Int | Uint | Double | Text | Duration | Timestamp)
        | (Int | Uint | Double | Text | Duration | Timestamp, Any) => Some(Any),
        _ => None,
    }
}

/// An operator as people write it: `_<_` is `<`.
fn spelt(name: &str) -> &str {
    name.trim_matches(['_', '@'])
}
