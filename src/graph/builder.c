/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Graphs made by hand: for tests, and for what reads a graph from a file. */
#include <pyheap/graph.h>

/* Objects are 16 bytes apart, from here on. */
#define FIRST_ADDRESS 0x10000u

struct hand_edge {
	uint32_t from, to;
	uint32_t name; /* offset in names; 0 = "" */
	uint8_t kind;
};
struct hand_node {
	uint64_t shallow, uncounted;
	uint32_t type;
	uint8_t flags;
};
struct hand_label {
	uint32_t name;
	uint8_t kind;
};

struct ph_graph_builder {
	struct PH_VEC(struct ph_graph_type) types;
	struct PH_VEC(struct hand_node) nodes; /* node 0 left out */
	struct PH_VEC(struct hand_edge) edges;
	struct PH_VEC(char) names;
	bool failed; /* memory was out once: finish says so */
};

/* The labels of a finished graph, in the order of its edges. */
struct hand_labels {
	struct ph_graph_priv head;
	struct hand_label *labels;
	uint64_t nlabels;
	char *names;
	struct PH_VEC(ph_label_id) asked; /* of one node: room for that with most edges */
};

struct ph_graph_builder *ph_graph_builder_new(void)
{
	struct ph_graph_builder *b = calloc(1, sizeof *b);
	if (b && !PH_VEC_PUSH(&b->names, '\0')) {
		free(b);
		return NULL;
	}
	return b;
}

static void builder_free(struct ph_graph_builder *b)
{
	for (size_t i = 0; i < b->types.n; i++)
		free(b->types.items[i].name);
	ph_vec_free(&b->types);
	ph_vec_free(&b->nodes);
	ph_vec_free(&b->edges);
	ph_vec_free(&b->names);
	free(b);
}

uint32_t ph_graph_builder_type(struct ph_graph_builder *b, const char *name, enum ph_type_class cls,
			       bool weakrefable)
{
	static const struct { const char *name; uint8_t form; } forms[] = {
		{ "type", PH_FORM_TYPE }, { "module", PH_FORM_MODULE }, { "function", PH_FORM_FUNCTION },
		{ "cell", PH_FORM_CELL }, { "code", PH_FORM_CODE }, { "coroutine", PH_FORM_COROUTINE },
		{ "_asyncio.Task", PH_FORM_TASK },
	};
	struct ph_graph_type type = { .name = strdup(name), .cls = (uint8_t)cls,
				      .weakrefable = weakrefable,
				      .whole = true,
				      .heap = strchr(name, '.') != NULL };
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (!strcmp(name, forms[i].name))
			type.form = forms[i].form;
	if (!type.name || !PH_VEC_PUSH(&b->types, type)) {
		free(type.name);
		b->failed = true;
		return UINT32_MAX;
	}
	return (uint32_t)b->types.n - 1;
}

uint32_t ph_graph_builder_node(struct ph_graph_builder *b, uint32_t type, uint64_t shallow,
			       uint64_t uncounted, unsigned flags)
{
	struct hand_node node = { .shallow = shallow, .uncounted = uncounted, .type = type,
				  .flags = (uint8_t)flags };
	if (b->nodes.n + 1 >= PH_GRAPH_MAX || type >= b->types.n || !PH_VEC_PUSH(&b->nodes, node)) {
		b->failed = true;
		return UINT32_MAX;
	}
	return (uint32_t)b->nodes.n;
}

bool ph_graph_builder_edge(struct ph_graph_builder *b, uint32_t from, uint32_t to_and_flags,
			   enum ph_label_kind kind, const char *name)
{
	struct hand_edge edge = { .from = from, .to = to_and_flags, .kind = (uint8_t)kind };
	if (name && *name) {
		size_t len = strlen(name) + 1;
		if (b->names.n > UINT32_MAX - len || !PH_VEC_RESERVE(&b->names, len))
			goto fail;
		edge.name = (uint32_t)b->names.n;
		memcpy(b->names.items + b->names.n, name, len);
		b->names.n += len;
	}
	if (from != 0 && PH_VEC_PUSH(&b->edges, edge))
		return true;
fail:
	b->failed = true;
	return false;
}

static void hand_labels_free(struct ph_graph_priv *priv)
{
	struct hand_labels *l = (struct hand_labels *)priv;
	ph_big_free(l->labels, l->nlabels * sizeof *l->labels);
	free(l->names);
	ph_vec_free(&l->asked);
	free(l);
}

static bool hand_labels_of(void *ctx, const struct ph_graph *g, uint32_t node, const ph_label_id **ret)
{
	struct hand_labels *l = ctx;
	uint64_t n;
	ph_graph_edges(g, node, &n);
	for (uint64_t e = 0; e < n; e++) {
		struct hand_label label = l->labels[ph_graph_edge_start(g, node) + e];
		bool counts = label.kind == PH_LABEL_INDEX || label.kind == PH_LABEL_WORD ||
			      label.kind == PH_LABEL_REFERENT;
		l->asked.items[e] = PH_LABEL_ID(label.kind, counts ? e : label.name);
	}
	*ret = l->asked.items;
	return true;
}

static void hand_text(void *ctx, const struct ph_graph *g, ph_label_id id, struct ph_label *ret)
{
	const struct hand_labels *l = ctx;
	strncpy(ret->name, l->names + PH_LABEL_ID_NUMBER(id), sizeof ret->name - 1);
	ret->is_name = *ret->name && (ret->kind == PH_LABEL_ATTR || ret->kind == PH_LABEL_LOCAL ||
				      ret->kind == PH_LABEL_CELL);
}

static ph_addr hand_address(void *ctx, const struct ph_graph *g, uint32_t node)
{
	return node ? FIRST_ADDRESS + 16ull * node : 0;
}

static const struct ph_graph_names hand_names = { .address = hand_address, .labels = hand_labels_of, .text = hand_text };

struct type_order {
	const char *name;
	uint32_t index;
};

static int by_name(const void *pa, const void *pb)
{
	const struct type_order *a = pa, *b = pb;
	int c = strcmp(a->name, b->name);
	return c ? c : (a->index > b->index) - (a->index < b->index);
}

/* Moves the types into g, sorted; ret_new[old index] = new index. */
static bool finish_types(struct ph_graph_builder *b, struct ph_graph *g, uint32_t **ret_new)
{
	size_t n = b->types.n;
	struct type_order *order ph_cleanup_free = calloc(n + 1, sizeof *order);
	uint32_t *map ph_cleanup_free = calloc(n + 1, sizeof *map);
	g->types = calloc(n + 1, sizeof *g->types);
	if (!order || !map || !g->types)
		return false;
	for (uint32_t i = 0; i < n; i++)
		order[i] = (struct type_order){ b->types.items[i].name, i };
	qsort(order, n, sizeof *order, by_name);
	for (uint32_t i = 0; i < n; i++) {
		g->types[i] = b->types.items[order[i].index];
		map[order[i].index] = i;
	}
	g->ntypes = (uint32_t)n;
	b->types.n = 0; /* the names are g's now */
	*ret_new = map;
	map = NULL;
	return true;
}

static bool finish_nodes(struct ph_graph_builder *b, struct ph_graph *g, const uint32_t *new_type)
{
	struct PH_VEC(struct ph_big_size) big = { 0 };
	struct PH_VEC(uint32_t) seeds = { 0 };
	bool ok = ph_graph_alloc_nodes(g, (uint32_t)b->nodes.n + 1, b->edges.n);
	for (uint32_t i = 1; ok && i < g->n; i++) {
		const struct hand_node *node = &b->nodes.items[i - 1];
		g->type[i] = new_type[node->type];
		g->flags[i] = node->flags;
		if (!ph_graph_set_sizes(g, i, node->shallow, node->uncounted))
			ok = PH_VEC_PUSH(&big, (struct ph_big_size){ i, node->shallow, node->uncounted });
		if (ok && (node->flags & PH_NODE_SEED))
			ok = PH_VEC_PUSH(&seeds, i);
	}
	g->big = big.items;
	g->nbig = (uint32_t)big.n;
	g->seeds = seeds.items;
	g->nseeds = (uint32_t)seeds.n;
	return ok;
}

/* Counting sort by source: stable, so that a source's edges keep their order. */
static bool finish_edges(struct ph_graph_builder *b, struct ph_graph *g, struct hand_labels *l)
{
	uint64_t *at ph_cleanup_free = calloc(g->n + 1ull, sizeof *at);
	if (!at || !ph_graph_alloc_edges(g))
		return false;
	l->labels = ph_big_alloc(b->edges.n * sizeof *l->labels);
	l->nlabels = b->edges.n;
	if (!l->labels)
		return false;
	for (size_t i = 0; i < b->edges.n; i++) {
		at[b->edges.items[i].from + 1]++;
		g->refcount[b->edges.items[i].to & PH_EDGE_ID] +=
			!(b->edges.items[i].to & PH_EDGE_BORROWED);
	}
	for (uint32_t i = 1; i <= g->n; i++)
		ph_graph_set_edge_start(g, i, at[i] += at[i - 1]);
	for (size_t i = 0; i < b->edges.n; i++) {
		const struct hand_edge *e = &b->edges.items[i];
		uint64_t to = at[e->from]++;
		g->edges[to] = e->to;
		l->labels[to] = (struct hand_label){ e->name, e->kind };
	}
	for (uint32_t s = 0; s < g->nseeds; s++)
		g->refcount[g->seeds[s]]++;
	for (uint32_t i = 1; i < g->n; i++)
		if (!PH_VEC_RESERVE(&l->asked, ph_graph_edge_start(g, i + 1) - ph_graph_edge_start(g, i)))
			return false;
	return true;
}

static bool edges_valid(const struct ph_graph_builder *b)
{
	for (size_t i = 0; i < b->edges.n; i++) {
		const struct hand_edge *e = &b->edges.items[i];
		uint32_t to = e->to & PH_EDGE_ID;
		if (e->from > b->nodes.n || to == 0 || to > b->nodes.n)
			return false;
	}
	return true;
}

static bool finish(struct ph_graph_builder *b, struct ph_graph *g)
{
	uint32_t *new_type ph_cleanup_free = NULL;
	struct hand_labels *l = calloc(1, sizeof *l);
	if (!l)
		return false;
	l->head.free = hand_labels_free;
	g->priv = l;
	if (!finish_types(b, g, &new_type) || !finish_nodes(b, g, new_type) || !finish_edges(b, g, l))
		return false;
	l->names = b->names.items;
	b->names.items = NULL;
	g->names = &hand_names;
	g->names_ctx = l;
	return true;
}

struct ph_err *ph_graph_builder_finish(struct ph_graph_builder *b, struct ph_graph **ret)
{
	struct ph_err *err = NULL;
	struct ph_graph *g = b->failed ? NULL : ph_graph_new();
	if (g && !edges_valid(b))
		err = ph_err_new(PH_ERR_USAGE, "an edge leads to an object that does not exist");
	else if (!g || !finish(b, g))
		err = ph_err_nomem();
	builder_free(b);
	if (!err) {
		ph_graph_sum(g);
		err = ph_graph_find_garbage(g);
	}
	if (err) {
		ph_graph_free(g);
		return err;
	}
	*ret = g;
	return NULL;
}
