from django.urls import path

from portal.demo import views

app_name = "demo"
urlpatterns = [
    path("", views.people, name="people"),
    path("codes/", views.codes, name="codes"),
    path("inbox/", views.inbox, name="inbox"),
]
