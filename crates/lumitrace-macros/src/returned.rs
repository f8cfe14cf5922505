//! What a function returns: a value, or a future of one.

use quote::quote;
use syn::{
    AngleBracketedGenericArguments, GenericArgument, PathArguments, PathSegment, ReturnType,
    Signature, Type, TypeParamBound,
};

/// The type that a function returns.
pub(crate) struct Returned {
    call: Type,
    future: Option<Type>,
    is_boxed: bool,
}

impl Returned {
    pub(crate) fn of(signature: &Signature) -> Self {
        let written = match &signature.output {
            ReturnType::Default => syn::parse_quote!(()),
            ReturnType::Type(_, written) => (**written).clone(),
        };
        let boxed = boxed_future(&written);
        let future = boxed.clone().or_else(|| match &written {
            Type::ImplTrait(written) => future_output(&written.bounds),
            _ => None,
        });
        Self {
            call: nameable(written),
            future: future.map(nameable),
            is_boxed: boxed.is_some(),
        }
    }

    /// What a call comes to; `_` where that cannot be written inside the function.
    pub(crate) fn of_call(&self) -> &Type {
        &self.call
    }

    /// What awaiting it comes to, if the function is none of `async` but returns a future.
    pub(crate) fn of_future(&self) -> Option<&Type> {
        self.future.as_ref()
    }

    /// Whether that future is a `Pin<Box<dyn Future>>`.
    pub(crate) fn is_boxed(&self) -> bool {
        self.is_boxed
    }
}

/// The written type, or `_` where it cannot be repeated (`impl Trait` inside).
fn nameable(written: Type) -> Type {
    // `impl` is a keyword: as a token it can only begin an `impl Trait`.
    fn any_impl(tokens: proc_macro2::TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(ident) => ident == "impl",
            proc_macro2::TokenTree::Group(group) => any_impl(group.stream()),
            _ => false,
        })
    }
    match any_impl(quote!(#written)) {
        true => syn::parse_quote!(_),
        false => written,
    }
}

/// The output of a `Pin<Box<dyn Future<Output = ...> + ...>>`.
fn boxed_future(written: &Type) -> Option<Type> {
    match inner(inner(written, "Pin")?, "Box")? {
        Type::TraitObject(future) => future_output(&future.bounds),
        _ => None,
    }
}

/// `T` of a `Name<T>`, whatever the path before it.
fn inner<'a>(written: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = written else {
        return None;
    };
    let last = path
        .path
        .segments
        .last()
        .filter(|last| last.ident == name)?;
    generics(last)?
        .args
        .iter()
        .find_map(|argument| match argument {
            GenericArgument::Type(inner) => Some(inner),
            _ => None,
        })
}

/// The output that a bound `Future<Output = ...>` names.
fn future_output<'a>(bounds: impl IntoIterator<Item = &'a TypeParamBound>) -> Option<Type> {
    bounds.into_iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else {
            return None;
        };
        let last = bound.path.segments.last();
        let future = last.filter(|last| last.ident == "Future")?;
        generics(future)?
            .args
            .iter()
            .find_map(|argument| match argument {
                GenericArgument::AssocType(output) if output.ident == "Output" => {
                    Some(output.ty.clone())
                }
                _ => None,
            })
    })
}

fn generics(segment: &PathSegment) -> Option<&AngleBracketedGenericArguments> {
    match &segment.arguments {
        PathArguments::AngleBracketed(generics) => Some(generics),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returned(output: &str) -> (String, Option<String>, bool) {
        let signature: Signature = syn::parse_str(&format!("fn f() {output}")).unwrap();
        let returned = Returned::of(&signature);
        let text = |written: &Type| quote!(#written).to_string().replace(' ', "");
        (
            text(returned.of_call()),
            returned.of_future().map(text),
            returned.is_boxed(),
        )
    }

    #[test]
    fn values_are_told_from_futures_and_what_cannot_be_named_is_left_open() {
        for (output, call, future, is_boxed) in [
            ("", "()", None, false),
            ("-> Result<u8, E>", "Result<u8,E>", None, false),
            ("-> Option<impl Copy>", "_", None, false),
            ("-> impl Future<Output = u8> + Send", "_", Some("u8"), false),
            (
                "-> impl Send + Future<Output = impl Copy>",
                "_",
                Some("_"),
                false,
            ),
            ("-> impl Iterator<Item = u8>", "_", None, false),
            ("-> Pin<Box<u8>>", "Pin<Box<u8>>", None, false),
        ] {
            let future = future.map(str::to_owned);
            let expected = (call.to_owned(), future, is_boxed);
            assert_eq!(returned(output), expected, "{output}");
        }
        let boxed = "-> ::core::pin::Pin<Box<dyn ::core::future::Future<Output = ()> + Send + 'a>>";
        let (_, future, is_boxed) = returned(boxed);
        assert_eq!((future.as_deref(), is_boxed), (Some("()"), true));
    }
}
