/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words that object and graph share: how a reference is held, and what sort of
 * thing a type's instances are. Plain data; no stage of its own. */
#ifndef PYHEAP_LABEL_H
#define PYHEAP_LABEL_H

#include <pyheap/base.h>

/* For cycles and paths: what is folded away, what is left out. */
enum ph_type_class {
	PH_TYPE_ORDINARY,
	PH_TYPE_DICT,           /* dict and its subclasses */
	PH_TYPE_CONTAINER,      /* list, tuple, set, frozenset, deque: exactly these, steps are folded */
	PH_TYPE_INFRASTRUCTURE, /* type, module, function, code, descriptors, builtin methods, frames' code… */
};

/* Objects that paths look at more closely. */
enum ph_type_form {
	PH_FORM_OTHER,
	PH_FORM_TYPE,           /* its instances are types */
	PH_FORM_MODULE,
	PH_FORM_FUNCTION,
	PH_FORM_CELL,
	PH_FORM_CODE,
	PH_FORM_COROUTINE,      /* a generator or async generator, too */
	PH_FORM_TASK,           /* of asyncio */
	PH_FORMS
};

/* What holds an edge, as Python writes it. */
enum ph_label_kind {
	PH_LABEL_NONE,     /* unknown: "<slot>" */
	PH_LABEL_ATTR,     /* .name (slot, struct member, key of a namespace dict) */
	PH_LABEL_DICT,     /* .__dict__ of an instance: folded with the key that follows */
	PH_LABEL_INDEX,    /* [index] of list, tuple, deque */
	PH_LABEL_ELEMENT,  /* element of a set */
	PH_LABEL_VALUE,    /* value of a dict under a key: name = printable key or "" */
	PH_LABEL_KEY,      /* a dict's key */
	PH_LABEL_LOCAL,    /* local variable `name` of a frame */
	PH_LABEL_STACK,    /* operand stack of a frame */
	PH_LABEL_CELL,     /* free or cell variable `name` */
	PH_LABEL_TYPE,     /* its type: .__class__ */
	PH_LABEL_WORD,     /* conservative find at byte offset `index` */
	PH_LABEL_REFERENT, /* gc.get_referents(object)[index]: a type without a reader */
	PH_LABEL_CACHE,    /* key or result of an entry of functools.lru_cache */
	PH_LABEL_KINDS
};

struct ph_label {
	enum ph_label_kind kind;
	int64_t index;     /* INDEX, WORD; −1 where it has no meaning */
	ph_addr key;       /* VALUE, KEY: address of the key object, else 0 */
	char name[112];    /* ATTR, LOCAL, CELL; VALUE, KEY: key as Python would write it, cut; else "" */
	char of[112];      /* LOCAL, STACK, CELL: where: "handler (app.py:12)"; else "" */
	bool is_name;      /* name may appear in a report: a member's name, or a key that occurs in code */
	bool is_hash;      /* so may this: it stands for a key that is a value */
};

/* A label without its text: the kind in the uppermost byte; below, for INDEX, WORD and
 * REFERENT the index, for others a number that stands for the text. Equal labels of one
 * graph are equal numbers. */
typedef uint64_t ph_label_id;
#define PH_LABEL_ID(kind, number) ((ph_label_id)(kind) << 56 | ((uint64_t)(number) & ((1ull << 56) - 1)))
#define PH_LABEL_ID_KIND(id) ((enum ph_label_kind)((id) >> 56))
#define PH_LABEL_ID_NUMBER(id) ((id) & ((1ull << 56) - 1))

#endif
