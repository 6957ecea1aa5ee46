//! The schema of the tests: every kind of type, every way to fail, and echoes of what arrived. `tests/oracle/oracle.mjs` has its twin
//! for graphql-js.

use std::sync::atomic::{AtomicI32, Ordering};

use async_graphql::{
    Enum, Error, ErrorExtensions, ID, InputObject, Interface, MaybeUndefined, Object, OneofObject, Result, Scalar, ScalarType, Schema,
    SimpleObject, Subscription, TypeDirective, Union, ValidationMode, Value,
};
use futures_util::{Stream, stream};

pub type Zoo = Schema<Query, Mutation, Subscriptions>;

pub fn schema() -> Zoo {
    Schema::build(Query, Mutation::default(), Subscriptions)
        .validation_mode(ValidationMode::Fast)
        .limit_recursive_depth(64)
        .disable_suggestions()
        .finish()
}

/// The SDL that the gate reads, as the service writes its own.
pub fn sdl() -> String {
    schema().sdl_with_options(async_graphql::SDLExportOptions::new().include_specified_by())
}

/// Who may read a field.
#[TypeDirective(location = "FieldDefinition")]
fn requires(roles: Vec<String>) {}

fn failed() -> Error {
    Error::new("failed").extend_with(|_, extensions| extensions.set("code", "CONFLICT"))
}

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
pub enum Color {
    Red,
    Green,
    #[graphql(deprecation = "Use `GREEN`")]
    Blue,
}

/// Anything.
pub struct Stamp(Value);

#[Scalar(specified_by_url = "https://example.com/stamp")]
impl ScalarType for Stamp {
    fn parse(value: Value) -> async_graphql::InputValueResult<Self> {
        Ok(Self(value))
    }

    fn to_value(&self) -> Value {
        self.0.clone()
    }
}

/// A place.
#[derive(InputObject)]
pub struct Point {
    /// Across.
    x: i32,
    #[graphql(default = 7)]
    y: Option<i32>,
    label: MaybeUndefined<String>,
    #[graphql(default_with = "Some(vec![\"a\".to_owned()])")]
    tags: Option<Vec<String>>,
    color: Option<Color>,
    inner: Option<Box<Point>>,
}

#[derive(OneofObject)]
pub enum Choice {
    Text(String),
    Number(i32),
}

pub struct PointEcho(Point);

#[Object]
impl PointEcho {
    async fn x(&self) -> i32 {
        self.0.x
    }
    async fn y(&self) -> Option<i32> {
        self.0.y
    }
    async fn label(&self) -> String {
        match &self.0.label {
            MaybeUndefined::Undefined => "absent".to_owned(),
            MaybeUndefined::Null => "null".to_owned(),
            MaybeUndefined::Value(label) => format!("value {label}"),
        }
    }
    async fn tags(&self) -> Option<&Vec<String>> {
        self.0.tags.as_ref()
    }
    async fn color(&self) -> Option<Color> {
        self.0.color
    }
}

/// What moves.
#[derive(Interface)]
#[graphql(field(name = "name", ty = "String"), field(name = "nick", ty = "Option<String>"), field(name = "friend", ty = "Option<Animal>"))]
pub enum Animal {
    Dog(Dog),
    Cat(Cat),
}

#[derive(Union)]
pub enum Pet {
    Dog(Dog),
    Cat(Cat),
}

pub struct Dog(u8);
pub struct Cat;

#[Object]
impl Dog {
    async fn name(&self) -> String {
        // Late, so that whoever orders keys by time gets this one wrong.
        tokio::task::yield_now().await;
        "Rex".to_owned()
    }
    async fn nick(&self) -> Result<Option<String>> {
        Err(failed())
    }
    async fn friend(&self) -> Option<Animal> {
        (self.0 > 0).then(|| Animal::Dog(Dog(self.0 - 1)))
    }
    async fn barks(&self) -> bool {
        true
    }
    async fn toys(&self, #[graphql(default = 2)] limit: i32) -> Vec<Toy> {
        (0..limit).map(|number| Toy { number }).collect()
    }
}

#[Object]
impl Cat {
    async fn name(&self) -> String {
        "Tom".to_owned()
    }
    async fn nick(&self) -> Option<String> {
        None
    }
    async fn friend(&self) -> Option<Animal> {
        Some(Animal::Dog(Dog(0)))
    }
    async fn lives(&self) -> i32 {
        9
    }
    async fn toys(&self) -> Vec<Toy> {
        vec![Toy { number: 100 }]
    }
}

#[derive(SimpleObject)]
pub struct Toy {
    number: i32,
}

/// Fails in every way.
pub struct Trouble;

#[Object(name = "Trouble")]
impl Trouble {
    async fn ok(&self) -> &str {
        "ok"
    }
    async fn fail(&self) -> Result<Option<String>> {
        Err(failed())
    }
    async fn fail_hard(&self) -> Result<String> {
        Err(failed())
    }
    async fn inner(&self) -> Option<Trouble> {
        Some(Trouble)
    }
    async fn inner_hard(&self) -> Trouble {
        Trouble
    }
    async fn inners(&self) -> Vec<Option<Trouble>> {
        vec![Some(Trouble), None]
    }
    async fn inners_hard(&self) -> Option<Vec<Trouble>> {
        Some(vec![Trouble, Trouble])
    }
    async fn gaps(&self) -> Vec<Option<i32>> {
        vec![Some(1), None, Some(3)]
    }
    async fn uncoded(&self) -> Result<Option<String>> {
        Err(Error::new("select * from secrets failed"))
    }
    async fn foreign(&self) -> Result<Option<String>> {
        Err(Error::new("secret").extend_with(|_, extensions| extensions.set("code", "E_SECRET")))
    }
    async fn panics(&self) -> Option<String> {
        // Said in a roundabout way, or the macro's own code behind it is unreachable.
        #[expect(clippy::panic, reason = "what the gate does with a panic is what is tested")]
        None.filter(|_: &String| true).or_else(|| panic!("a resolver panics"))
    }
    async fn hangs(&self) -> Option<String> {
        std::future::pending().await
    }
}

pub struct Query;

#[Object]
impl Query {
    /// Greets.
    async fn hello(&self) -> &str {
        "world"
    }
    #[graphql(directive = requires::apply(vec!["ADMIN".to_owned()]))]
    async fn nothing(&self) -> Option<String> {
        None
    }
    #[graphql(deprecation = "Use `hello`")]
    async fn old(&self) -> &str {
        "old"
    }
    async fn maybe(&self, v: MaybeUndefined<i32>) -> String {
        match v {
            MaybeUndefined::Undefined => "absent".to_owned(),
            MaybeUndefined::Null => "null".to_owned(),
            MaybeUndefined::Value(v) => format!("value {v}"),
        }
    }
    async fn int(&self, v: Option<i32>) -> Option<i32> {
        v
    }
    async fn int_or(&self, #[graphql(default = 5)] v: i32) -> i32 {
        v
    }
    async fn float(&self, v: Option<f64>) -> Option<f64> {
        v
    }
    async fn string(&self, v: Option<String>) -> Option<String> {
        v
    }
    async fn boolean(&self, v: Option<bool>) -> Option<bool> {
        v
    }
    async fn id(&self, v: Option<ID>) -> Option<ID> {
        v
    }
    async fn color(&self, v: Option<Color>) -> Option<Color> {
        v
    }
    async fn ints(&self, v: Option<Vec<Option<i32>>>) -> Option<Vec<Option<i32>>> {
        v
    }
    async fn ints_hard(&self, v: Vec<i32>) -> Vec<i32> {
        v
    }
    async fn matrix(&self, v: Option<Vec<Option<Vec<Option<i32>>>>>) -> Option<Vec<Option<Vec<Option<i32>>>>> {
        v
    }
    async fn stamp(&self, v: Option<Stamp>) -> Option<Stamp> {
        v
    }
    async fn point(&self, p: Point) -> PointEcho {
        PointEcho(p)
    }
    async fn points(&self, p: Vec<Point>) -> Vec<PointEcho> {
        p.into_iter().map(PointEcho).collect()
    }
    async fn choose(&self, v: Choice) -> String {
        match v {
            Choice::Text(text) => format!("text {text}"),
            Choice::Number(number) => format!("number {number}"),
        }
    }
    async fn dog(&self) -> Dog {
        Dog(3)
    }
    async fn animal(&self) -> Option<Animal> {
        Some(Animal::Cat(Cat))
    }
    async fn animals(&self) -> Vec<Animal> {
        vec![Animal::Dog(Dog(1)), Animal::Cat(Cat)]
    }
    async fn pets(&self) -> Vec<Option<Pet>> {
        vec![Some(Pet::Cat(Cat)), None, Some(Pet::Dog(Dog(0)))]
    }
    async fn trouble(&self) -> Option<Trouble> {
        Some(Trouble)
    }
    async fn trouble_hard(&self) -> Trouble {
        Trouble
    }
}

#[derive(Default)]
pub struct Mutation {
    counter: AtomicI32,
}

#[derive(SimpleObject)]
pub struct Counter {
    value: i32,
    double: i32,
}

#[Object]
impl Mutation {
    /// Counts, from where the last one stopped.
    async fn add(&self, #[graphql(default = 1)] by: i32) -> Counter {
        tokio::task::yield_now().await;
        let value = self.counter.fetch_add(by, Ordering::SeqCst) + by;
        Counter { value, double: value * 2 }
    }
    async fn fail(&self) -> Result<Option<Counter>> {
        Err(failed())
    }
}

pub struct Subscriptions;

#[Subscription(name = "Subscription")]
impl Subscriptions {
    async fn ticks(&self, #[graphql(default = 3)] count: i32) -> impl Stream<Item = Counter> + use<> {
        stream::iter((0..count).map(|value| Counter { value, double: value * 2 }))
    }
    async fn animals_seen(&self) -> impl Stream<Item = Animal> + use<> {
        stream::iter([Animal::Dog(Dog(0)), Animal::Cat(Cat)])
    }
}
