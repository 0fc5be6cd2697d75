raise ImportError("a lesson is no module: python -m vmio.lessons.build makes its notebook")
# %% [markdown]
# # {title}
#
# **What you'll do.** Look up where each price of the course comes from, and set the model beside what others have measured.
#
# **What you'll learn**
# 1. Which measurement each price is made from.
# 2. Where a model with these prices is right, and where it is off.
# 3. Why only figures that set no price tell how good a model is.
#
# **What you'll need.** {lesson:compare_modes}, to which this is an appendix. About {minutes} minutes.
# %%
from vmio.lab import predict
from vmio.lessons.check_the_model import panel as lesson
# %% [markdown]
# ## The prices
#
# All the lessons use these. Behind each stands the measurement that it is made from, and below them who measured it.
# %%
print(lesson.price_sources())
# %% [markdown]
# ## Predict
#
# Four of these prices, all of an exit, are fitted to one machine of 2012. Who answers decides: what goes to user space costs
# five times as much as a null hypercall, on processors ten years apart. What if the guest is the guest of a guest?
# %%
ask = predict("nested-user-exit", "In a nested guest an exit costs 12 times as much. How many null hypercalls of its own "
              "is an IN that user space answers? (5.3 without nesting)", "hypercalls")
ask
# %% [markdown]
# ## Run: what an exit costs
#
# *fit* set a price of the model; *test* was held out, and only that tells anything; a *rule* is exact. *within* is the
# tolerance that the ratio keeps, up or down. Where it is off, the reason stands below.
# %%
ask.compare(lesson.published_ratio("IN, user, nested 2019"))
print()
print(lesson.paper("exit ladder"))
# %% [markdown]
# ## Compare: the papers beside the model
#
# A model is worth what it gets right of what others have measured. With the one above there are nine results: published
# ones, two rules, and what Linux's own drivers do.
#
# ### One doorbell, three prices
# %%
print(lesson.paper("doorbell"))
# %% [markdown]
# ### Signals that need not be sent
# %%
print(lesson.paper("suppression"))
# %% [markdown]
# ### Interrupt or poll
# %%
print(lesson.paper("interrupt or poll"))
# %% [markdown]
# ### A mapping for each buffer
# %%
print(lesson.paper("DMA mapping"))
# %% [markdown]
# ### Who runs the backend, and who takes the interrupt
# %%
print(lesson.paper("backends"))
print()
print(lesson.paper("exitless"))
# %% [markdown]
# ### Real drivers, and two rules
# %%
print(lesson.paper("register accesses"))
print()
print(lesson.paper("shares"))
# %% [markdown]
# ### All of them
# %%
print(lesson.all_papers())
# %% [markdown]
# ## Explore: every ratio in one picture
#
# Grey is 10 % up and down. Why do the fitted figures, all in the grey, say nothing about the model?
# %%
lesson.ratio_panel()
# %% [markdown]
# ## Explain
#
# **What is right:** counts, orders, what hides what. A count needs no price, and an order needs prices that are only about right.
#
# **What is wrong,** is wrong where one price stands for two different things, or where the source doesn't say what else its
# machine did. That an exit is dearer in a nested guest is one thing; that the hypervisor in the middle exits more often on the
# way to user space is another, and no single price is both.
#
# **A fitted figure proves nothing.** With a price to choose for each, any model meets them. It is the held-out ones that could
# have come out otherwise.
# %% [quiz]
# %% [markdown]
# ## In practice
#
# Every price is a field of `vmio/hypervisor/costs.py` and a row of `data/published.csv`, with who measured it, on what, and
# when. A row that you don't believe can be changed there: all lessons follow, and this page says what no longer agrees.
#
# {neighbours}
