//! A tree as serde walks it: texts as they are spelt, entries without a value as absent, and every
//! mistake with the node that it is about.

use std::collections::BTreeSet;

use serde::de::{
    DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};

use crate::config::{
    decode::Mistake,
    tree::{Node, Pair, Value},
};

/// A node that serde walks, without what was found wrong before.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    node: &'a Node,
    wrong: &'a BTreeSet<u32>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(node: &'a Node, wrong: &'a BTreeSet<u32>) -> Self {
        Self { node, wrong }
    }

    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let Value::List(items) = &self.node.value else {
            return Err(Mistake::kind(self.node, "a list"));
        };
        visitor.visit_seq(Items {
            items: items.iter(),
            wrong: self.wrong,
        })
    }

    fn map<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let Value::Map(pairs) = &self.node.value else {
            return Err(Mistake::kind(self.node, "a mapping"));
        };
        visitor
            .visit_map(self.entries(pairs, &[]))
            .map_err(|mistake| mistake.inside(self.node))
    }

    /// An entry of `optional` with nothing in it counts as not written.
    fn entries(self, pairs: &'a [Pair], optional: &'static [&'static str]) -> Entries<'a> {
        Entries {
            pairs: pairs.iter(),
            wrong: self.wrong,
            optional,
            value: None,
        }
    }
}

impl<'de> Deserializer<'de> for Walk<'_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Text(text) => visitor.visit_str(text),
            Value::Plain(text) => match (text.as_str(), text.parse(), text.parse()) {
                ("true", ..) => visitor.visit_bool(true),
                ("false", ..) => visitor.visit_bool(false),
                (_, Ok(number), _) => visitor.visit_u64(number),
                (_, _, Ok(number)) => visitor.visit_f64(number),
                _ => visitor.visit_str(text),
            },
            Value::List(_) => self.list(visitor),
            Value::Map(_) => self.map(visitor),
        }
        .map_err(|mistake: Mistake| mistake.inside(self.node))
    }

    /// A scalar as it is spelt, `8080` and `true` too; a visitor that can do more gets more.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.node.text() {
            Some(text) => visitor
                .visit_str(text)
                .map_err(|mistake: Mistake| mistake.inside(self.node)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let Value::Map(pairs) = &self.node.value else {
            return Err(Mistake::kind(self.node, "a mapping"));
        };
        visitor
            .visit_map(self.entries(pairs, fields))
            .map_err(|mistake| mistake.of(name).inside(self.node))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let Value::Text(word) = &self.node.value else {
            let one = format!("one of {}", variants.join(", "));
            return Err(Mistake::kind(self.node, &one));
        };
        visitor
            .visit_enum(word.as_str().into_deserializer())
            .map_err(|mistake: Mistake| mistake.inside(self.node))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf
        unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Node>,
    wrong: &'a BTreeSet<u32>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mistake> {
        let wrong = self.wrong;
        let Some(node) = self.items.find(|node| !wrong.contains(&node.id)) else {
            return Ok(None);
        };
        seed.deserialize(Walk::new(node, wrong))
            .map(Some)
            .map_err(|mistake| mistake.inside(node))
    }
}

struct Entries<'a> {
    pairs: std::slice::Iter<'a, Pair>,
    wrong: &'a BTreeSet<u32>,
    optional: &'static [&'static str],
    value: Option<&'a Pair>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mistake> {
        let (wrong, optional) = (self.wrong, self.optional);
        self.value = self.pairs.find(|pair| {
            let nothing = matches!(pair.node.value, Value::Null);
            let absent = nothing && optional.contains(&pair.key.as_str());
            !absent && !wrong.contains(&pair.node.id)
        });
        self.value
            .map(|pair| seed.deserialize(pair.key.as_str().into_deserializer()))
            .transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Mistake> {
        let Some(pair) = self.value.take() else {
            return Err(Mistake::wrong("a value was asked for before its key"));
        };
        let walk = Walk::new(&pair.node, self.wrong);
        seed.deserialize(walk)
            .map_err(|mistake| mistake.inside(&pair.node).under(&pair.key))
    }
}
