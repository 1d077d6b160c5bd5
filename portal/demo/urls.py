from django.urls import path

from portal.demo import views

app_name = "demo"
urlpatterns = [
    path("", views.people, name="people"),
    path("codes/", views.codes, name="codes"),
    path("drills/", views.drills, name="drills"),
    path("drills/state/", views.drill_state, name="drill-state"),
    path("drills/start/", views.start_drill, name="drill-start"),
    path("market/", views.steer_market, name="market"),
    path("inbox/", views.inbox, name="inbox"),
]
